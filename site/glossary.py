"""The glossary: one source, glossary.toml, for the site's page and for the links to it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A symbol or a term.

    Args:
        key: of the link to it, such as "elbo".
        symbol: in LaTeX, or "" for a term without one.
        name: in words.
        shape: or range, such as "[B, D]"; "" where there is none.
        notebook: the number of the notebook that introduces it, such as "02".
        cell: the id of the Markdown cell there that does.
        match: how that cell writes it: a text that no earlier notebook's text holds, unless
            `known` says that it does.
        text: one or two sentences, Markdown.
        known: True if earlier notebooks already use the word, without introducing it.
    """

    key: str
    name: str
    notebook: str
    cell: str
    match: str
    text: str
    symbol: str = ""
    shape: str = ""
    known: bool = False

    @property
    def target(self) -> str:
        """The name of the place in the notebook."""
        return f"nb{self.notebook}-{self.cell}"

    @property
    def title(self) -> str:
        """Symbol and name."""
        return f"${self.symbol}$ · {self.name}" if self.symbol else self.name


def read(path: Path) -> list[Entry]:
    """The entries, in the order of the course."""
    with open(path, "rb") as file:
        values = tomllib.load(file)
    entries = [Entry(key=key, **value) for key, value in values.items()]
    return sorted(entries, key=lambda entry: entry.notebook)


def met_here(entries: list[Entry]) -> str:
    """The Markdown list at the end of a notebook's page: what it introduced."""
    items = ", ".join(f"[{entry.title}](#term-{entry.key})" for entry in entries)
    return f"## Symbols and terms first met here\n\n{items}"


def page(entries: list[Entry]) -> str:
    """The glossary's page: by notebook in the order of the course, each entry linked both ways."""
    parts = [
        "# Glossary\n\nEvery symbol and term, in the order in which the course introduces them; "
        "shapes in B images, C channels, H × W pixels, D numbers of a vector, T tokens. Each links "
        "to the place that introduces it.\n"
    ]
    for notebook in dict.fromkeys(entry.notebook for entry in entries):
        parts.append(f"## Notebook {notebook}\n")
        for entry in entries:
            if entry.notebook == notebook:
                shape = f" `{entry.shape}`" if entry.shape else ""
                parts.append(
                    f"(term-{entry.key})=\n\n**{entry.title}**{shape}\n"
                    f": {entry.text} [→\u00a0{entry.notebook}](#{entry.target})\n"
                )
    return "\n".join(parts)
