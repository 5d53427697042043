"""Notebooks: a kernel of another Python, and a package older than the notebooks beside it."""

import ast
import functools
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import t2i_course
from t2i_course import __version__
from t2i_course.trouble.finding import Finding

PACKAGE = Path(t2i_course.__file__).parent
STAMP = ".t2i-course.json"  # what `t2i copy-course` writes
# Files of a learner that would be imported in place of a package.
MASKS = ("torch", "numpy", "PIL", "random", "types", "typing", "copy", "tokenize", "t2i_course")


def findings(here: Path | None = None) -> list[Finding]:
    """The kernel that a notebook gets, and the package against the notebooks in or below `here`."""
    here = here or Path.cwd()
    return [*kernel(), *_launcher(), *_masks(here), *_package(here), *_age(here)]


def _home_of(program: str) -> str:
    """The folder of a program, links of it not followed: two environments may share a Python."""
    return os.path.normcase(os.path.dirname(os.path.abspath(program)))


def kernel() -> list[Finding]:
    """Whether JupyterLab starts this Python for the course's notebooks (the kernel `python3`)."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return []  # packages.py says it
    own = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    place = "--sys-prefix" if own else "--user"
    command = (sys.executable, "-m", "ipykernel", "install", place, "--name", "python3")
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return [Finding("kernel", "there is none", "Install it.", True, command)]
    program = str(spec.argv[0]) if spec.argv else ""
    if program in ("python", "python3", Path(sys.executable).name):
        program = sys.executable  # as the server reads it
    if _home_of(program) == _home_of(sys.executable):
        return [Finding("kernel", "notebooks run in this Python")]
    gone = "" if shutil.which(program) else ", which is not there"
    what = f"notebooks would run in {program}{gone}, not in this Python"
    mend = f"Install this one's kernel. If that does not help, remove {spec.resource_dir}."
    return [Finding("kernel", what, mend, True, command)]


def _launcher() -> list[Finding]:
    """Whether the `jupyter` that a terminal finds is this Python's."""
    found = shutil.which("jupyter-lab")
    if found is None or _home_of(found) == _home_of(sys.executable):
        return []
    what = f"`jupyter lab` in this terminal is {found}, of another Python"
    return [Finding("jupyter", what, "Activate this environment, or write `python -m jupyterlab`.")]


def _masks(here: Path) -> list[Finding]:
    """A learner's file that would be imported in place of the package of that name."""
    beside = [here / f"{name}.py" for name in MASKS] + [
        here / "notebooks" / f"{n}.py" for n in MASKS
    ]
    return [
        Finding(
            "name", f"{path} is imported in place of {path.stem}", "Give it another name.", True
        )
        for path in beside
        if path.is_file()
    ]


def _package(here: Path) -> list[Finding]:
    """Whether the package that runs is the one of the checkout that one is in."""
    for folder in (here, *here.parents):
        project = folder / "pyproject.toml"
        if project.is_file() and 'name = "t2i-course"' in project.read_text(encoding="utf-8"):
            if (folder / "t2i_course").resolve() == PACKAGE.resolve():
                return []
            what = f"the package that runs is {PACKAGE}, and these notebooks belong to {folder}"
            command = (sys.executable, "-m", "pip", "install", "--no-deps", "-e", str(folder))
            return [Finding("t2i-course", what, "Install the one beside them.", True, command)]
    return []


def _age(here: Path) -> list[Finding]:
    """What notebooks ask of the package that it does not have, and the version they came with."""
    found: list[Finding] = []
    folders = {path.resolve(): path for path in (here, here / "notebooks", here / "exercises")}
    for folder in folders.values():
        for path in sorted(folder.glob("*.ipynb")):
            lacking = next(unknown_names(path), None)
            if lacking and not found:
                what = f"{path.name} needs {lacking}, which t2i-course {__version__} does not have"
                mend = (
                    "The notebooks are of another version: install the package they came with, or "
                    "take this one's by `t2i copy-course FOLDER`."
                )
                found.append(Finding("notebooks", what, mend, True))
    stamp = next((p for p in (here / STAMP, here.parent / STAMP) if p.is_file()), None)
    if stamp is not None and not found:
        came = _stamped(stamp)
        if came and came != __version__:
            what = f"of version {came}; the package is {__version__}"
            mend = f"`t2i copy-course {stamp.parent}` brings this version's and keeps your work."
            found.append(Finding("notebooks", what, mend))
    return found


def _stamped(stamp: Path) -> str:
    try:
        return str(json.loads(stamp.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def unknown_names(notebook: Path, package: Path = PACKAGE) -> Iterator[str]:
    """What a notebook imports from t2i_course, or reads from its modules, that is not there.

    Nothing is imported or run: the notebook's cells and the package's files are only parsed.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    trees = [tree for source in sources if (tree := _parsed(source)) is not None]
    own = {  # names that the notebook gives to things of its own
        node.id if isinstance(node, ast.Name) else node.arg
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.arg)
        or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    }
    modules: dict[str, str] = {}  # name in the notebook: the module it stands for
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("t2i_course"):
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    if _is_module(package, whole):
                        modules[alias.asname or alias.name] = whole
                    elif alias.name not in _names(package, str(node.module)):
                        yield whole
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = modules.get(node.value.id)
                if module and node.value.id not in own and node.attr not in _names(package, module):
                    yield f"{module}.{node.attr}"


def _parsed(source: str) -> ast.Module | None:
    """A cell without its magic lines; None if it is not Python, which is the learner's affair."""
    try:
        return ast.parse(re.sub(r"^\s*[%!].*$", "pass", source, flags=re.MULTILINE))
    except SyntaxError:
        return None


def _path(package: Path, module: str) -> Path:
    return package.joinpath(*module.split(".")[1:])


def _is_module(package: Path, module: str) -> bool:
    path = _path(package, module)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@functools.cache
def _names(package: Path, module: str) -> frozenset[str]:
    """The names that a module of the package defines or imports; of a package, its modules too."""
    path = _path(package, module)
    file = path.with_suffix(".py")
    if not file.is_file():
        file = path / "__init__.py"
    if not file.is_file():
        return frozenset()
    names = {"__name__", "__file__", "__doc__"}
    if file.name == "__init__.py":
        names |= {each.stem for each in file.parent.iterdir()}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return frozenset(names)
