"""A learner's answers out of a notebook of any age, whatever happened to its cells.

Runs inside the sandbox, on bytes that nobody has looked at: only the standard library is used, and
nothing is executed. The grader reads its own notebooks with the same functions.
"""

import ast
import builtins
import json
import re
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

CELLS = 5000  # a notebook has no more; what comes after is left out
LONGEST = 500_000  # characters of a cell; a longer one is left out
_DEFINITIONS = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign,
    ast.AnnAssign,
)  # fmt: skip


class UnreadableError(Exception):
    """The bytes are no notebook: in words."""


@dataclass(frozen=True)
class Cell:
    """A cell: its stable id or nbgrader's, "code" or another kind, its text, and whether its
    metadata say that it is a check."""

    name: str
    kind: str
    source: str
    check: bool
    metadata: dict[str, Any]


def text_of(raw: bytes) -> tuple[str, str]:
    """The text of a file, and a note where it is not UTF-8."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"),
                           (b"\xfe\xff", "utf-16")):  # fmt: skip
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace"), ""
    try:
        return raw.decode(), ""
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "The file is not UTF-8; it was read as Latin-1."


def read(raw: bytes) -> tuple[list[Cell], list[str]]:
    """The cells of a notebook of format 2, 3 or 4, and notes on what was odd.

    Raises:
        UnreadableError: with a sentence.
    """
    if not raw.strip():
        raise UnreadableError("The file is empty.")
    text, note = text_of(raw)
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise UnreadableError("The file's brackets nest too deep for a notebook.") from None
    except MemoryError:
        raise UnreadableError("The file takes more memory to read than a notebook may.") from None
    except ValueError as error:
        raise UnreadableError(f"The file is no JSON, so no notebook ({error}).") from None
    listed = _listed(notebook)
    if listed is None:
        raise UnreadableError("The file is JSON, but it holds no notebook.")
    notes = [note] if note else []
    if "worksheets" in notebook:
        notes.append("The notebook is in an old format; it was converted.")
    cells = [cell for cell in map(_cell, listed[:CELLS]) if cell is not None]
    if len(cells) < len(listed):
        notes.append(f"{len(listed) - len(cells)} entries of the notebook are no cells.")
    return cells, notes


def _listed(notebook: Any) -> list[Any] | None:
    if not isinstance(notebook, dict):
        return None
    if isinstance(notebook.get("cells"), list):
        return notebook["cells"]
    sheets = notebook.get("worksheets")
    if not isinstance(sheets, list):
        return None
    inner = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
    return [cell for cells in inner if isinstance(cells, list) for cell in cells]


def _cell(given: Any) -> Cell | None:
    if not isinstance(given, dict):
        return None
    source = given.get("source", given.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str) or len(source) > LONGEST:
        return None
    metadata = given.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    graded = metadata.get("nbgrader")
    graded = graded if isinstance(graded, dict) else {}
    name = graded.get("grade_id") or given.get("id")
    name = name if isinstance(name, str) else ""
    check = (graded.get("grade") is True and graded.get("solution") is not True) or bool(
        re.search(r"-check(-v\d+)?$", name)
    )
    kind = given.get("cell_type")
    return Cell(name, kind if isinstance(kind, str) else "", source, check, metadata)


def parsed(source: str) -> tuple[str, ast.Module | None]:
    """A cell's source without IPython's own lines, where it does not parse with them; and its
    tree, or None where it does not parse at all."""
    plain = re.sub(r"^(\s*)([%!?].*|.*\?\s*)$", r"\1pass", source, flags=re.MULTILINE)
    for text in (source, plain):
        try:
            return text, ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return source, None


def bound(statement: ast.AST) -> set[str]:
    """The names that a statement of a cell gives a value to, outside functions and classes."""
    found: set[str] = set()
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp):
            waiting += ast.iter_child_nodes(node)
    return found


def wanted(source: str) -> set[str]:
    """The global names that a piece of code uses and does not define itself."""
    used: set[str] = set()
    own: set[str] = set()

    def look(table: symtable.SymbolTable) -> None:
        for symbol in table.get_symbols():
            if table.get_type() == "module" and (symbol.is_assigned() or symbol.is_imported()):
                own.add(symbol.get_name())
            elif symbol.is_global() or table.get_type() == "module":
                used.add(symbol.get_name())
        for child in table.get_children():
            look(child)

    try:
        look(symtable.symtable(source, "<cell>", "exec"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return used - own


def _is_stub(statement: ast.AST) -> bool:
    """Whether a definition is still what was handed out: nothing but raise NotImplementedError."""
    if isinstance(statement, ast.ClassDef):
        inner = [each for each in statement.body if isinstance(each, ast.FunctionDef)]
        return bool(inner) and all(map(_is_stub, inner))
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    body = [each for each in statement.body if not isinstance(each, ast.Expr | ast.Pass)]
    if not body:
        return True
    raised = body[0].exc if len(body) == 1 and isinstance(body[0], ast.Raise) else None
    raised = raised.func if isinstance(raised, ast.Call) else raised
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


@dataclass(frozen=True)
class _Piece:
    """A code cell with its tree, and whether what it binds under a name is still the stub."""

    cell: Cell
    source: str
    tree: ast.Module | None

    def definers(self, name: str) -> Iterator[ast.stmt]:
        for statement in self.tree.body if self.tree else ():
            if name in bound(statement):
                yield statement

    def written(self, name: str) -> bool:
        return any(not _is_stub(each) for each in self.definers(name))


def answers(
    raw: bytes, tasks: Sequence[Sequence[str]], known: Sequence[str], prose: Sequence[str]
) -> dict[str, Any]:
    """What a notebook holds of some tasks.

    A task's answer is its own cell (by id, or by nbgrader's), or else whatever cell defines its
    function; the last that is more than the stub. With it go the definitions that it uses from
    other cells of the learner's.

    Args:
        raw: the file.
        tasks: the id and the function's name of each.
        known: names that are there before the learner's: the instructor's imports.
        prose: ids of text cells.

    Returns:
        `tasks`: by id, `cell` (source, or None), `helpers` (a list of sources), `definitions` (the
        cell without what is no definition) and `notes`; `prose`: text by id; `notes`.

    Raises:
        UnreadableError: with a sentence.
    """
    cells, notes = read(raw)
    code = [cell for cell in cells if cell.kind == "code" and not cell.check]
    pieces = [_Piece(cell, *parsed(cell.source)) for cell in code]
    written = {cell.name: cell.source for cell in cells if cell.name in prose}
    return {
        "tasks": {
            name: _answer(name, function, pieces, cells, set(known)) for name, function in tasks
        },
        "prose": written,
        "notes": notes,
    }


def _answer(
    name: str, function: str, pieces: list[_Piece], cells: list[Cell], known: set[str]
) -> dict[str, Any]:
    own = [piece for piece in pieces if piece.cell.name == name]
    defining = [piece for piece in pieces if any(piece.definers(function))]
    # In order of preference; of several alike the last, as in a notebook that is run through.
    choices = [
        *reversed([piece for piece in own if piece.written(function)]),
        *reversed([piece for piece in defining if piece.written(function)]),
        *reversed([piece for piece in own if piece.tree is None]),
        *reversed(own), *reversed(defining),
    ]  # fmt: skip
    notes = []
    if not choices:
        if any(cell.name == name for cell in cells):
            notes.append("Its cell is no code cell any more.")
        return {"cell": None, "helpers": [], "definitions": "", "notes": notes}
    piece = choices[0]
    several = [each for each in defining if each.written(function)]
    if len({each.source for each in several}) > 1:
        which = "the last of those in its own cell" if piece in own else "the last one"
        notes.append(f"{function} is written {len(several)} times; {which} counts.")
    if piece not in own:
        notes.append("Its cell was found by the function's name, not by its id.")
    definitions = ""
    if piece.tree is not None:
        kept = [each for each in piece.tree.body if isinstance(each, _DEFINITIONS) and bound(each)]
        if len(kept) < len(piece.tree.body):
            definitions = ast.unparse(ast.Module([*kept], []))
    helpers = _helpers(piece, pieces, known | set(dir(builtins)))
    return {
        "cell": piece.source, "helpers": helpers, "definitions": definitions, "notes": notes
    }  # fmt: skip


def _helpers(piece: _Piece, pieces: list[_Piece], known: set[str]) -> list[str]:
    """The statements of other cells that define what the piece uses, and what those use."""
    places: dict[str, tuple[int, int, ast.stmt]] = {}
    for i, each in enumerate(pieces):
        if each is not piece and each.tree is not None:
            for j, statement in enumerate(each.tree.body):
                places |= dict.fromkeys(bound(statement), (i, j, statement))
    found: dict[tuple[int, int], str] = {}
    waiting = wanted(piece.source)
    seen = set(known)
    while waiting and len(found) < 200:
        name = waiting.pop()
        if name in seen or name not in places:
            continue
        seen.add(name)
        i, j, statement = places[name]
        if (i, j) not in found:
            found[i, j] = ast.unparse(statement)
            waiting |= wanted(found[i, j])
    return [found[place] for place in sorted(found)]
