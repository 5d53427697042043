"""A report: one HTML file that holds its pictures and tables and opens anywhere, offline.

It has no script and no address outside itself, reads on a dark page and on a telephone, and names
under each section the command that makes it again.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2

from t2i_course.contract import require, write_whole
from t2i_course.show.plots import check_alt

__all__ = ["Picture", "Section", "Table", "write"]


@dataclass(frozen=True)
class Picture:
    """A picture as PNG bytes (`plots.png`), its words for who cannot see it, and its caption.

    Raises:
        T2IError: if `png` is not a PNG, or `alt` not a sentence.
    """

    png: bytes
    alt: str
    caption: str = ""

    def __post_init__(self) -> None:
        require(
            self.png.startswith(b"\x89PNG"),
            "Picture.png must be the bytes of a PNG file; plots.png(figure) makes them.",
        )
        check_alt(self.alt)

    @property
    def uri(self) -> str:
        """The picture itself as an address: a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Table:
    """A table: header `[K]`, rows `[R][K]` of text and numbers, and a note under it.

    Raises:
        T2IError: if a row is longer or shorter than the header.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            require(
                len(row) == len(self.header),
                f"A table row has {len(row)} cells under {len(self.header)} headings: {row}.",
            )

    def is_number(self, column: int) -> bool:
        """Whether the column holds numbers only, and so stands flush right."""
        return all(isinstance(row[column], int | float) for row in self.rows)

    def markdown(self) -> str:
        """The table as Markdown, its note below."""
        lines = [" | ".join(map(str, row)) for row in (self.header, ["---"] * len(self.header))]
        lines += [" | ".join(map(str, row)) for row in self.rows]
        return "\n".join(f"| {line} |" for line in lines) + f"\n\n{self.note}\n"


@dataclass(frozen=True)
class Section:
    """A part of the report: text (a blank line parts paragraphs), pictures, a table, a command.

    `command` is what a reader types to make this section's results again.
    """

    title: str
    text: str = ""
    figures: Sequence[Picture] = ()
    table: Table | None = None
    command: str = ""


def write(path: str | Path, title: str, intro: str, sections: Sequence[Section]) -> Path:
    """Write the report to `path` and return it; all text is escaped.

    The file is written aside and renamed, so that no reader finds half a report, and the old one
    stays if something fails.

    Raises:
        T2IError: if the folder of `path` cannot be written to.
    """
    page = _template().render(title=title, intro=intro, sections=sections)
    path = Path(path)
    write_whole(path, page)
    return path


def _template() -> jinja2.Template:
    page = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page.filters["paragraphs"] = lambda text: [part for part in text.split("\n\n") if part.strip()]
    page.filters["cell"] = lambda cell: f"{cell:.4g}" if isinstance(cell, float) else cell
    return page.from_string(files("t2i_course.show").joinpath("report.html").read_text("utf-8"))
