"""Slides of the notebooks whose cells say so: `python site/slides.py`.

A cell's metadata decides: `slideshow.slide_type` is slide, subslide, fragment, notes or skip. Of a
code cell the pictures are shown; one tagged `slide-code` shows its code and all that it printed.
reveal.js and MathJax lie beside the slides, so that they open without a network.
"""

import importlib.util
import shutil
from pathlib import Path

import nbformat
from nbconvert.exporters import SlidesExporter

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "site" / "_build" / "html"


def beside(module: str, inside: str) -> Path:
    """A folder that a package of the site's requirements carries."""
    return Path(importlib.util.find_spec(module).origin).parent / inside


def shown(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """The notebook with what its slides show; None if no cell asks for a slide."""
    cells = []
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "skip")
        if kind == "skip":
            continue
        if cell.cell_type == "code" and "slide-code" not in cell.metadata.get("tags", []):
            cell.metadata["transient"] = {"remove_source": True}
            cell.outputs = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        cells.append(cell)
    notebook.cells = cells
    return notebook if cells else None


def main() -> None:
    exporter = SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(ROOT / "site" / "templates")],
        reveal_url_prefix="../reveal",
        reveal_theme="white",
    )
    out = HTML / "slides"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = shown(nbformat.read(path, as_version=4))
        if notebook is None:
            continue
        resources = {"metadata": {"name": path.stem}}
        page, _ = exporter.from_notebook_node(notebook, resources=resources)
        (out / f"{path.stem}.html").write_text(page, encoding="utf-8")
        print(f"slides/{path.stem}.html")
    reveal, mathjax = HTML / "reveal", HTML / "mathjax"
    carried = beside("sphinx_revealjs", "_static/revealjs")
    for part in ("dist", "plugin/notes"):
        shutil.copytree(carried / part, reveal / part, dirs_exist_ok=True)
    program = beside("mathjax", "static/mathjax/es5")
    fonts = Path("output/chtml/fonts")
    shutil.copytree(program / fonts, mathjax / fonts, dirs_exist_ok=True)
    shutil.copy(program / "tex-chtml.js", mathjax)


if __name__ == "__main__":
    main()
