"""The house rules: what DESIGN-NOTES.md and the notebooks' form promise, checked on the files."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "t2i_course").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

# One spelling for each idea, everywhere: what is written elsewhere, and how it is written here.
SPELLINGS = {
    r"\blog_var\b|\blog_variance\b|\blogsigma\b": "logvar",
    r"\blatent_size\b|\bz_dim\b|\bn_latents?\b": "latent_dim",
    r"\bx0\b|\bx_start\b": "x_0",
    r"\balphas?_cumprod\b|\balpha_hat\b": "alpha_bar",
    r"\bguidance_scale\b|\bcfg_scale\b": "guidance w",
    r"\bkld\b|\bkl_div(ergence)?\b(?!\()": "kl",
    r"\breparametri[sz]|\breparameteriz": "reparameterise",
}


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def cells(path: Path) -> list[dict]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook["cells"]


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in cells(path) if cell["cell_type"] == "code" and cell["source"].strip()]


def outputs(path: Path) -> list[dict]:
    return [output for cell in code_cells(path) for output in cell["outputs"]]


def words_of(path: Path) -> str:
    if path.suffix == ".ipynb":
        return "\n".join(cell["source"] for cell in cells(path))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
    return "\n".join(ast.get_docstring(node) or "" for node in nodes)


@pytest.mark.parametrize("path", [*PACKAGE, *NOTEBOOKS], ids=lambda path: path.name)
def test_notation_is_spelt_one_way(path):
    text = words_of(path)
    for pattern, ours in SPELLINGS.items():
        found = re.search(pattern, text, re.IGNORECASE)
        assert not found, f"{found.group()!r} in {path.name}: here it is spelt {ours!r}"


def test_no_file_of_the_package_is_longer_than_a_reader_can_hold():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in PACKAGE}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_public_functions_and_classes_have_docstrings():
    missing = []
    for path in PACKAGE:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if path.parent.name == "checks" and getattr(node, "decorator_list", []):
                continue  # a check: its task's equation and the exercise say what it is
            if public and not ast.get_docstring(node):
                missing.append(f"{path.name}: {node.name}")
    assert missing == []


def test_constraints_pin_every_dependency_and_name_no_place_to_get_it_from():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?://|file:| @ |--", text)
    pinned = {normal(line.split("==")[0]) for line in text.splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {normal(re.split(r"[<>=\[;]", item)[0]) for item in wanted}
    assert names - pinned == set()


def imported(path: Path) -> set[str]:
    """The top-level names that a Python file imports, from anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("t2i_course", ["sentence"]),
        ("tests", ["test", "browser", "sentence"]),
        ("notebooks", ["test"]),
        ("benchmarks", ["test", "browser", "bench"]),
    ],
)
def test_what_is_imported_is_declared(folder, extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    declared = {normal(re.split(r"[<>=\[;]", item)[0]) for item in wanted}
    files = list((ROOT / folder).rglob("*.py"))
    local = [*files, *(ROOT / "tests").rglob("*.py")]  # benchmarks use what tests use
    ours = {path.stem for path in local} | {"t2i_course"} | sys.stdlib_module_names
    for name in set().union(*map(imported, files)) - ours:
        distributions = {normal(each) for each in packages_distributions().get(name, [name])}
        assert distributions & declared, f"{folder} imports {name}: say so in pyproject.toml"


def test_the_readme_names_only_commands_that_exist():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"make (\w+)", readme)) <= targets
    for link in re.findall(r"\]\(([^)#]+)\)", readme):
        assert link.startswith("https://") or (ROOT / link).exists(), link


@each_notebook
def test_a_notebook_begins_as_all_do_and_asks_its_questions_twice(path):
    first = cells(path)[0]["source"]
    assert first.startswith(f"# {path.name[:2]}")
    for part in ("able to", "smoke", "laptop", "gpu", "uilds on"):
        assert part in first, part
    code = "\n".join(cell["source"] for cell in code_cells(path))
    number = path.name[:2]
    for call in (f'ask("{number}")', f'mark("{number}", before=', f'mark("{number}", after='):
        assert call in code, call
    if number != "00":
        text = words_of(path).lower()
        assert "predict first" in text and "break it" in text


@each_notebook
def test_stored_outputs_are_whole_small_and_of_no_machine(path):
    assert path.stat().st_size <= 1_500_000
    assert outputs(path), "run `make notebooks`"
    assert all(cell["execution_count"] for cell in code_cells(path))
    for output in outputs(path):
        assert output["output_type"] != "error", output
        assert output.get("name") != "stderr", output["text"]
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(work|root|tmp|home|Users)/", text)
    bars = sum("".join(output.get("text", "")).count("\r") for output in outputs(path))
    assert bars < 5  # a progress bar is stored as its last line


@each_notebook
def test_every_picture_has_an_alternative_text(path):
    pictures = [output for output in outputs(path) if "image/png" in output.get("data", {})]
    assert pictures
    for picture in pictures:
        assert len(picture["metadata"]["image/png"]["alt"]) > 15


@each_notebook
def test_cells_are_short_tagged_where_their_text_is_compared_and_import_by_name(path):
    tagged = [c for c in code_cells(path) if "nbval-check-output" in c["metadata"].get("tags", [])]
    assert len(tagged) >= 3 and all(cell["outputs"] for cell in tagged)
    for cell in code_cells(path):
        assert len(cell["source"].splitlines()) <= 60
        assert "import *" not in cell["source"]
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["language_info"] == {"name": "python"}
