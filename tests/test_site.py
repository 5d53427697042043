"""The site's own parts: the glossary against the notebooks, and a check that finds what is broken.

The build itself has a set-up of its own (`make site-check`) and is no part of these tests.
"""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def load(name: str):
    """A program of the folder site, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


glossary, check = load("glossary"), load("check")
pages = load("pages")
ENTRIES = glossary.read(ROOT / "site" / "glossary.toml")


def markdown(number: str) -> dict[str, str]:
    """The Markdown cells of a notebook by id, each line of a formula joined to the next."""
    (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {c["id"]: "".join(c["source"]) for c in cells if c["cell_type"] == "markdown"}


TEXTS = {path.name[:2]: markdown(path.name[:2]) for path in NOTEBOOKS}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_an_entry_stands_where_the_glossary_says_and_is_new_there(entry):
    assert entry.match in TEXTS[entry.notebook][entry.cell]
    earlier = [number for number in TEXTS if number < entry.notebook]
    seen = [number for number in earlier if entry.match in "\n".join(TEXTS[number].values())]
    assert not seen or entry.known, f"{entry.key} is already in {seen}"
    assert len(entry.text) > 20 and entry.text.endswith((".", "?", ").", "%."))
    assert "$" not in entry.symbol


def test_each_notebook_of_the_course_has_entries_and_each_symbol_one():
    assert {entry.notebook for entry in ENTRIES} == set(TEXTS)
    symbols = [entry.symbol for entry in ENTRIES if entry.symbol]
    assert len(symbols) == len(set(symbols)) and len(ENTRIES) >= 50


def test_the_glossarys_page_and_the_notebooks_link_to_each_other():
    page = glossary.page(ENTRIES)
    for entry in ENTRIES:
        assert f"(term-{entry.key})=" in page and f"](#{entry.target})" in page
    (path,) = (path for path in NOTEBOOKS if path.name.startswith("05"))
    shown = json.loads(pages.notebook_page(path, ENTRIES))
    text = "\n".join("".join(cell["source"]) for cell in shown["cells"])
    for entry in ENTRIES:
        if entry.notebook == "05":
            assert f"({entry.target})=" in text and f"](#term-{entry.key})" in text


def test_a_page_hides_what_the_notebook_hides_and_the_cell_for_colab(tmp_path):
    cells = [
        {"cell_type": "code", "id": "colab", "metadata": {"tags": ["colab"]}, "source": "x",
         "outputs": []},
        {"cell_type": "code", "id": "letters", "source": "y", "metadata":
         {"jupyter": {"outputs_hidden": True}}, "outputs": [{"data": {pages.WIDGET: {}}}]},
    ]  # fmt: skip
    (tmp_path / "00_x.ipynb").write_text(json.dumps({"cells": cells}))
    shown = json.loads(pages.notebook_page(tmp_path / "00_x.ipynb", []))["cells"]
    assert [cell["id"] for cell in shown] == ["letters"]
    assert shown[0]["metadata"]["tags"] == ["hide-output"] and shown[0]["outputs"] == []


def test_a_formulas_line_that_begins_with_a_sign_begins_no_list():
    text = "Take\n$$a\n+ b$$\nand $c\n- d$; it costs 3 dollars.\n\n- $e$\n- $f$"
    assert pages.formulas_on_a_line(text) == (
        "Take\n$$a + b$$\nand $c - d$; it costs 3 dollars.\n\n- $e$\n- $f$"
    )


def test_links_to_what_is_no_page_become_words():
    text = "[a](notebooks/00_start_here.ipynb) [b](t2i_course/) [c](https://x.org) ![d](p.png)"
    kept = pages.links_kept(text, "README.md", {"notebooks/00_start_here.ipynb"})
    assert kept == "[a](/notebooks/00_start_here.ipynb) b [c](https://x.org) ![d](p.png)"
    text = "$f[k](t)$ [02](../notebooks/02_vae.ipynb) [13](../notebooks/13_x.ipynb)"
    pages_there = {"notebooks/02_vae.ipynb"}
    kept = pages.links_kept(text, "exercises/ex02_vae.ipynb", pages_there, pages.NOTEBOOK_LINK)
    assert kept == "$f[k](t)$ [02](/notebooks/02_vae.ipynb) 13"


GOOD = '<a href="b.html#there">b</a><img src="p.png" alt="a picture of a boot"><pre>$x_1$</pre>'


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (GOOD, None),
        (GOOD + '<a href="gone.html">x</a>', "leads nowhere"),
        (GOOD + '<a href="b.html#gone">x</a>', "no such place"),
        (GOOD + '<a href="#gone">x</a>', "no such place"),
        (GOOD + '<img src="gone.png" alt="a picture of a boot">', "is missing"),
        (GOOD + '<img src="p.png">', "has no words"),
        (GOOD + "<p>Then $x_1 + y$ is</p>", "stayed text"),
        (GOOD + "<p>Then $$ x</p>", "stayed text"),
        (GOOD + '<span class="math">\\(x_1 $y_2$\\)</span>', None),
        (GOOD + '<script src="https://cdn.example/x.js"></script>', "from elsewhere"),
        (GOOD + '<link rel="stylesheet" href="gone.css">', "is missing"),
    ],
)
def test_the_check_finds_what_is_broken(tmp_path, page, problem):
    (tmp_path / "index.html").write_text(f"<html><body>{page}</body></html>")
    (tmp_path / "b.html").write_text('<p id="there">x <a href="index.html">back</a></p>')
    (tmp_path / "p.png").write_bytes(b"")
    found = check.problems(tmp_path)
    assert len(found) == (problem is not None) and (problem or "") in "".join(found)


def test_a_page_that_nobody_links_to_and_an_empty_site_are_found(tmp_path):
    assert "make site" in check.problems(tmp_path)[0]
    (tmp_path / "index.html").write_text("<p>x</p>")
    (tmp_path / "alone.html").write_text("<p>x</p>")
    assert check.problems(tmp_path) == ["alone.html: no page links to it"]


@pytest.mark.parametrize("number", ["02", "05", "08"])
def test_notebooks_with_slides_have_them_in_an_order_that_reveals(number):
    (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    kinds = [cell["metadata"].get("slideshow", {}).get("slide_type", "skip") for cell in cells]
    shown = [kind for kind in kinds if kind != "skip"]
    assert shown[0] == "slide" and shown.count("slide") >= 10
    assert set(shown) <= {"slide", "subslide", "fragment", "notes"}
    for cell, kind in zip(cells, kinds, strict=True):
        code = "slide-code" in cell["metadata"].get("tags", [])
        if kind != "skip" and cell["cell_type"] == "code" and not code:
            assert any("image/png" in output.get("data", {}) for output in cell["outputs"])
