"""The site's pages, laid out from the files of the course: `python site/pages.py`.

Writes site/_build/source: the README as the first page, the notebooks with their stored outputs,
the exercises, the benchmarks' tables, and pages made here (glossary, commands, models). A link to a
file of the course that is no page becomes its words.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import glossary

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "site"
BUILD = HERE / "_build"
SOURCE = BUILD / "source"

PARTS = {
    "Part I · Label and VAE": ("00", "01", "02", "03"),
    "Part II · GAN, diffusion, metrics": ("04", "05", "06", "07"),
    "Part III · Text": ("08", "09", "10"),
    "Part IV · COCO": ("11", "12", "13", "14"),
}
# File of the course, and the group of the navigation that its page is in.
TEXTS = {
    "notebooks/papers.md": "Reference",
    "solutions/README.md": "For instructors",
    "CONTRIBUTING.md": "For maintainers",
    "DESIGN-NOTES.md": "For maintainers",
    "CHANGELOG.md": "For maintainers",
}
MADE = ("glossary.md", "commands.md", "models.md", "results.md", "slides.md")  # written here
WIDGET = "application/vnd.jupyter.widget-view+json"
MATH = re.compile(r"(?<!\\)(\$\$?)(?!\s*$)([^$]+?)\1(?!\d)")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")
# In a notebook, whose text also has formulas and code: what names a file of the course.
NOTEBOOK_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+\.(?:ipynb|md))(#[^)\s]*)?\)")


def notebook_page(
    path: Path, entries: list[glossary.Entry], linked: Callable[[str], str] = str
) -> str:
    """A notebook as the site shows it, its Markdown through `linked`: JSON text.

    What is for a running kernel only (the first cell for Colab, a widget's view) goes; what the
    author hid stays hidden; cells in which a symbol is introduced become targets of links, and a
    list of them is added at the end.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    mine = [entry for entry in entries if path.name.startswith(entry.notebook)]
    targets = {entry.cell: entry.target for entry in mine}
    shown = []
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if "colab" in tags:
            continue
        if cell["metadata"].get("jupyter", {}).get("outputs_hidden"):
            cell["metadata"]["tags"] = [*tags, "hide-output"]
        if cell["cell_type"] == "markdown":
            cell["source"] = linked(formulas_on_a_line("".join(cell["source"])))
        if cell["id"] in targets:
            cell["source"] = f"({targets[cell['id']]})=\n{cell['source']}"
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
        if "outputs" in cell:
            cell["outputs"] = [o for o in cell["outputs"] if o.get("data", True)]
        shown.append(cell)
    if mine:
        shown.append(_markdown("symbols", glossary.met_here(mine)))
    notebook["cells"] = shown
    return json.dumps(notebook)


def formulas_on_a_line(text: str) -> str:
    """Markdown with the line breaks inside its formulas turned to spaces.

    JupyterLab takes formulas out before it reads Markdown, so there a line of one may begin with
    "+ "; to CommonMark that begins a list.
    """
    return MATH.sub(lambda found: found[1] + " ".join(found[2].split("\n")) + found[1], text)


def _markdown(name: str, text: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}


def links_kept(text: str, page: str, pages: set[str], link: re.Pattern[str] = LINK) -> str:
    """The Markdown `text` of `page` (a path in the course) with links to what is no page of the
    site replaced by their words."""

    def keep(match: re.Match[str]) -> str:
        words, target, anchor = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group()
        meant = ((ROOT / page).parent / target).resolve()
        inside = meant.relative_to(ROOT).as_posix() if meant.is_relative_to(ROOT) else ""
        if inside == "README.md":
            inside = "index.md"
        if inside in pages:
            return f"[{words}](/{inside}{anchor or ''})"
        return words

    return link.sub(keep, text)


def commands_page() -> str:
    """The help of each command, as `t2i NAME --help` prints it."""
    sys.path.insert(0, str(ROOT))
    import click

    from t2i_course.cli import cli

    parts = ["# Commands\n\nWhat `t2i NAME --help` says of each.\n"]
    for name, command in sorted(cli.commands.items()):
        if not command.hidden:
            context = click.Context(command, info_name=f"t2i {name}", max_content_width=88)
            parts.append(f"## t2i {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def models_page() -> str:
    """The shipped models by their cards."""
    rows = []
    for path in sorted((ROOT / "t2i_course" / "zoo").glob("*/card.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        weights = path.parent / "weights.safetensors"
        scores = [f"{key} {_short(value)}" for key, value in card["scores"].items()]
        minutes, size = card["cost"]["cpu_seconds"] / 60, weights.stat().st_size / 1e6
        rows.append(
            f"## {path.parent.name}\n\n"
            f"Trained on {card['data']['name']} by `{card['command']}`: {minutes:.1f} CPU minutes; "
            f"{size:.1f} MB, SHA-256 `{card['files'][weights.name][:12]}…`.\n\n"
            f"Scores when it was made: {'; '.join(scores)}.\n"
        )
    return (
        "# Shipped models\n\nThe zoo: small trained weights in the package, each with a card "
        "(`card.json`) from which this page is made.\n\n" + "\n".join(rows)
    )


def _short(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def results_page(files: list[str]) -> str:
    """A page that lists the benchmarks' tables."""
    items = "\n".join(f"- [{_title(ROOT / name)}](/{name})" for name in files)
    toctree = "\n".join(f"/{name}" for name in files)
    return (
        "# Measured\n\nTables that the programs in `benchmarks/` wrote.\n\n"
        f"{items}\n\n```{{toctree}}\n:hidden:\n\n{toctree}\n```\n"
    )


def slides_page() -> str:
    """A page that leads to the slides, which are no pages of the site's own form."""
    names = sorted(path.name for path in (BUILD / "html" / "slides").glob("*.html"))
    items = "\n".join(f'<li><a href="slides/{name}">{name[:-5]}</a></li>' for name in names)
    return (
        "# Slides\n\nFrom the same notebooks, by their cells' metadata. Arrow keys or the space "
        f"bar go on, `s` opens the speaker's view.\n\n<ul>{items}</ul>\n"
    )


def _title(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found.group(1) if found else path.stem


def toctrees(notebooks: list[str], exercises: list[str], texts: list[str]) -> str:
    """The navigation, hidden at the end of the first page."""
    groups: dict[str, list[str]] = {}
    for part, numbers in PARTS.items():
        groups[part] = [n for n in notebooks if n.split("/")[1][:2] in numbers]
    groups["Exercises"] = exercises
    groups["Reference"] = list(MADE)
    for name in texts:
        groups.setdefault(TEXTS[name], []).append(name)
    written = [
        "```{toctree}\n:hidden:\n:caption: " + caption + "\n\n"
        + "\n".join(f"/{name.rsplit('.', 1)[0]}" for name in names) + "\n```\n"
        for caption, names in groups.items() if names
    ]  # fmt: skip
    return "\n" + "\n".join(written)


def _files(pattern: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def lay_out() -> None:
    """Write every page's source anew."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    entries = glossary.read(HERE / "glossary.toml")
    notebooks, exercises = _files("notebooks/*.ipynb"), _files("exercises/*.ipynb")
    results = _files("benchmarks/results/*.md")
    texts = [name for name in TEXTS if (ROOT / name).is_file()]
    pages = {"index.md", *notebooks, *exercises, *results, *texts, *MADE}
    for name in notebooks + exercises:
        linked = partial(links_kept, page=name, pages=pages, link=NOTEBOOK_LINK)
        mine = entries if name in notebooks else []
        _write(name, notebook_page(ROOT / name, mine, linked))
    for name in [*texts, *results]:
        text = (ROOT / name).read_text(encoding="utf-8")
        _write(name, links_kept(text, name, pages))
    readme = links_kept((ROOT / "README.md").read_text(encoding="utf-8"), "README.md", pages)
    _write("index.md", readme + toctrees(notebooks, exercises, texts))
    _write("glossary.md", glossary.page(entries))
    _write("commands.md", commands_page())
    _write("models.md", models_page())
    _write("results.md", results_page(results))
    _write("slides.md", slides_page())
    for name in _files("assets/*.png") + _files("benchmarks/results/*.png"):
        (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, SOURCE / name)


def _write(name: str, text: str) -> None:
    path = SOURCE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    lay_out()
