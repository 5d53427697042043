"""A copy of the package for the sandbox, in which no task's answer can be found."""

import ast
import shutil
from collections.abc import Iterable
from pathlib import Path

import t2i_course
from t2i_course.contract import require

PACKAGE = Path(t2i_course.__file__).parent
LEFT_OUT = ("zoo", "checks", "concepts.*", "__pycache__", "cli.py")
WORDS = "calls the package's own {name}, which is not there in grading: write it yourself"


def stubbed(source: str, names: Iterable[str]) -> str:
    """The source of a module in which the functions (or the classes' methods) of these names
    raise `WriteItYourself`.

    Raises:
        T2IError: if one of them is not defined at the top of the module.
    """
    tree = ast.parse(source)
    for name in names:
        found = [
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
        ]
        require(bool(found), f"A task's reference names {name}, which its module does not define.")
        for node in found:
            inside = node.body if isinstance(node, ast.ClassDef) else [node]
            for each in inside:
                if isinstance(each, ast.FunctionDef):
                    each.body = ast.parse(
                        "from t2i_course.grading.worker import WriteItYourself\n"
                        f"raise WriteItYourself({WORDS.format(name=name)!r})"
                    ).body
    return ast.unparse(tree)


def copy_package(to: Path, references: Iterable[str]) -> None:
    """Put the package into the folder `to`, without checks and trained weights.

    Args:
        references: of tasks, "module:function" or several with commas between: stubbed there.

    Raises:
        T2IError: if one of them names what is not there.
    """
    shutil.copytree(PACKAGE, to / "t2i_course", ignore=shutil.ignore_patterns(*LEFT_OUT))
    by_module: dict[str, list[str]] = {}
    for reference in ",".join(references).replace(" ", "").split(","):
        module, _, name = reference.partition(":")
        if not reference:
            continue
        by_module.setdefault(module, []).append(name)
    for module, names in by_module.items():
        path = to / (module.replace(".", "/") + ".py")
        if not path.is_file():
            path = path.with_suffix("") / "__init__.py"
        require(
            path.is_file(), f"A task's reference names the module {module}, which is not there."
        )
        path.write_text(stubbed(path.read_text(encoding="utf-8"), names), encoding="utf-8")
