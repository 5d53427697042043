"""Mutants of a solution: one small change each, of the kinds that learners make too."""

import ast
import copy
import random
from collections.abc import Iterator
from typing import Any

from t2i_course.contract import seed_of

OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mod, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.And: ast.Or, ast.Or: ast.And, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE,
    ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
PAIRS = [
    ("sum", "mean"), ("min", "max"), ("amin", "amax"), ("argmin", "argmax"), ("sin", "cos"),
    ("zeros", "ones"), ("zeros_like", "ones_like"), ("floor", "ceil"), ("softmax", "log_softmax"),
    ("any", "all"), ("repeat", "repeat_interleave"), ("logsumexp", "sum"), ("minimum", "maximum"),
]  # fmt: skip
SWAPS = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
DROPPED = {
    "exp", "log", "sqrt", "square", "abs", "sigmoid", "tanh", "relu", "softplus", "logsigmoid",
    "clamp", "detach", "normalize", "log_softmax", "softmax", "t", "transpose", "flip", "cumsum",
    "round", "sort",
}  # fmt: skip


def mutants(source: str) -> list[tuple[str, str]]:
    """All mutants of a solution cell: (source, the changed line), fences' inside only."""
    lines = source.splitlines()
    first = next(i for i, line in enumerate(lines, 1) if "### BEGIN SOLUTION" in line)
    last = next(i for i, line in enumerate(lines, 1) if "### END SOLUTION" in line)
    tree, found, seen = ast.parse(source), [], {ast.unparse(ast.parse(source))}
    for place, node in enumerate(ast.walk(tree)):
        if not first < getattr(node, "lineno", 0) < last:
            continue
        for change in changes(node):
            mutated = copy.deepcopy(tree)
            target = list(ast.walk(mutated))[place]
            put(mutated, target, change(target))
            text = ast.unparse(ast.fix_missing_locations(mutated))
            if text not in seen:
                seen.add(text)
                found.append((text, changed_line(tree, text)))
    return found


def drawn(source: str, *key: str | int, most: int = 12) -> list[tuple[str, str]]:
    """At most so many of the mutants, always the same for a key."""
    found = mutants(source)
    return random.Random(seed_of("mutants", *key)).sample(found, min(most, len(found)))


def put(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Set `new` in the place of `old`."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                setattr(parent, name, [new if each is old else each for each in value])


def changed_line(tree: ast.AST, mutant: str) -> str:
    """The line in which a mutant differs."""
    before = ast.unparse(tree).splitlines()
    for a, b in zip(before, mutant.splitlines(), strict=False):
        if a != b:
            return b.strip()
    return mutant.splitlines()[-1].strip()


def changes(node: ast.AST) -> Iterator[Any]:
    """Functions from a copy of the node to what stands in its place."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in OPERATORS:
        yield lambda n: with_(n, op=OPERATORS[type(n.op)]())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield lambda n: with_(n, ops=[OPERATORS[type(n.ops[0])](), *n.ops[1:]])
    if isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield lambda n: n.operand
    if isinstance(node, ast.Return) and isinstance(node.value, ast.BinOp | ast.Call):
        yield lambda n: with_(n, value=ast.UnaryOp(ast.USub(), n.value))
    number = constant(node)
    if number is not None:
        yield lambda n: ast.Constant(not number if isinstance(number, bool) else number + 1)
        if not isinstance(number, bool):
            yield lambda n: ast.Constant(number - 1)
    if isinstance(node, ast.Call):
        for i in range(len(node.keywords)):
            yield lambda n, i=i: with_(n, keywords=n.keywords[:i] + n.keywords[i + 1 :])
        name = called(node)
        if name in SWAPS:
            yield lambda n: renamed(n, SWAPS[called(n)])
        if name in DROPPED:
            yield inside
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield lambda n: n.value
    if isinstance(node, ast.IfExp):
        yield lambda n: n.body
        yield lambda n: n.orelse


def with_(node: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(node, name, value)
    return node


def constant(node: ast.AST) -> float | None:
    """The number that a literal stands for, with its sign; None for any other node."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = constant(node.operand)
        return None if inner is None or isinstance(inner, bool) else -inner
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return node.value
    return None


def called(node: ast.Call) -> str:
    """The last part of a called name: "mean" of x.mean() and of torch.mean(x)."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def renamed(node: ast.Call, name: str) -> ast.Call:
    if isinstance(node.func, ast.Attribute):
        node.func.attr = name
    else:
        node.func = ast.Name(name, ast.Load())
    return node


def inside(node: ast.Call) -> ast.AST:
    """What a call is made on: x of x.exp() and of torch.exp(x)."""
    modules = {"torch", "F", "math", "nn", "np"}
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value
        of_module = isinstance(owner, ast.Name) and owner.id in modules
        nested = isinstance(owner, ast.Attribute)  # torch.special.…, torch.nn.functional.…
        if not (of_module or nested):
            return owner
    return node.args[0] if node.args else node
