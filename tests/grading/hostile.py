"""Submissions that go wrong, by accident or on purpose, each with the points for what is right.

A set to test the grader with and to measure others with; the grader knows none of them. All are
made of exercise 02's solution: most replace or add to its first answer, `reparameterise`, and leave
the other four right.
"""

import copy
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat

from t2i_course.grading import release

SOLUTIONS = Path(__file__).parents[2] / "solutions"
TASKS = ("reparameterise", "kl", "nll", "vae_loss", "bits_per_pixel")
OTHERS = TASKS[1:]
FIRST = "ex02-reparameterise"
RIGHT = "def reparameterise(mu, logvar, eps):\n    return mu + (0.5 * logvar).exp() * eps\n"
STUB = "def reparameterise(mu, logvar, eps):\n    raise NotImplementedError  # write this\n"
WRONG = "def reparameterise(mu, logvar, eps):\n    return mu + logvar * eps\n"


@dataclass(frozen=True)
class Case:
    """A submission.

    Attributes:
        name: of the case; its student is called so.
        right: the tasks that get their points.
        state: graded, partly, empty or unreadable; more than one, with "|" between them, where it
            depends on the machine's speed.
        write: puts it into a folder, under a name without ending.
        says: words that the feedback contains.
        ended: the first task's code has to be ended by the clock.
    """

    name: str
    right: tuple[str, ...]
    state: str
    write: Callable[[Path, str], None]
    says: str = ""
    ended: bool = False


CASES: list[Case] = []


def honest() -> nbformat.NotebookNode:
    """A submission with every answer right."""
    return copy.deepcopy(_honest())


@cache
def _honest() -> nbformat.NotebookNode:
    notebook = release.pick(release.read(next(SOLUTIONS.glob("ex02_*.ipynb"))))
    for cell in notebook.cells:
        cell.source = "\n".join(
            line for line in cell.source.split("\n") if not line.strip().startswith("###")
        )
    return notebook


def cell_of(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == name)


def save(notebook: nbformat.NotebookNode, folder: Path, name: str) -> None:
    (folder / f"{name}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")


def case(
    name: str, source: str, right: Sequence[str] = OTHERS, state: str = "graded", says: str = "",
    ended: bool = False,
) -> None:  # fmt: skip
    """A case whose first answer's cell holds `source`."""

    def write(folder: Path, name: str) -> None:
        notebook = honest()
        cell_of(notebook, FIRST).source = source
        save(notebook, folder, name)

    CASES.append(Case(name, tuple(right), state, write, says, ended))


def changed(
    name: str, right: Sequence[str] = TASKS, state: str = "graded", says: str = ""
) -> Callable:
    """A case whose whole notebook is changed by the function under it."""

    def note(change: Callable[[nbformat.NotebookNode], None]) -> None:
        def write(folder: Path, name: str) -> None:
            notebook = honest()
            change(notebook)
            save(notebook, folder, name)

        CASES.append(Case(name, tuple(right), state, write, says))

    return note


def file(
    name: str, right: Sequence[str] = (), state: str = "unreadable", says: str = ""
) -> Callable:
    """A case that is written as the function under it does."""

    def note(write: Callable[[Path, str], None]) -> None:
        CASES.append(Case(name, tuple(right), state, write, says))

    return note


def before(lines: str, body: str = "    return mu + logvar * eps\n") -> str:
    """The first answer with lines before its return."""
    inside = "".join(f"    {line}\n" for line in lines.strip().split("\n"))
    return f"def reparameterise(mu, logvar, eps):\n{inside}{body}"


GOOD = "    return mu + (0.5 * logvar).exp() * eps\n"

# Time
case("loop", before("while True: pass"), state="partly", says="longer than", ended=True)
case("loop-that-ignores-signals", before("""
import signal
for number in range(1, 64):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    try:
        while True: pass
    except BaseException:
        pass
"""), state="partly", ended=True)  # fmt: skip
case("loop-after-the-definition", RIGHT + "while True: pass\n", TASKS)
case("sleep", before("import time\ntime.sleep(10_000)"), state="partly", ended=True)
case("slow-but-right", before("import time\ntime.sleep(0.5)", GOOD), TASKS)
case("recursion", before("return reparameterise(mu, logvar, eps)"), says="RecursionError")
case("patched-clock", "import time\ntime.monotonic = time.time = lambda: 0\n" + WRONG)

# Memory, processes, output, files
case("memory-at-once", before("return torch.zeros(10**12)"))
case("memory-bit-by-bit", before("kept = []\nwhile True: kept.append(bytearray(10**7))"),
     state="graded|partly")  # fmt: skip
case("memory-shared", before("""
import mmap
kept = []
while True:
    kept.append(mmap.mmap(-1, 10**8))
    kept[-1][::4096] = b'x' * len(range(0, 10**8, 4096))
"""), state="graded|partly")  # fmt: skip
case("fork-bomb", before("import os\nwhile True: os.fork()"))
case("fork-bomb-that-goes-on", before("""
import os
for _ in range(10_000):
    try:
        os.fork()
    except OSError:
        pass
""", GOOD), TASKS)  # fmt: skip
case("threads", before("""
import threading, time
for _ in range(1000):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
"""))  # fmt: skip
case("background-process", "import subprocess\n"
     "subprocess.Popen(['sleep', '1000'], start_new_session=True)\n" + RIGHT, TASKS)  # fmt: skip
case("flood-of-output", before("for _ in range(3000): print('x' * 10_000)", GOOD), TASKS)
case("flood-before-the-end", before("""
import os
for _ in range(3000): os.write(2, b'y' * 10_000)
os._exit(3)
"""), state="partly", says="yyyy")  # fmt: skip
case("flood-of-files", before("""
for k in range(100_000):
    try:
        open(f'file{k}', 'w').write('x')
    except OSError:
        break
""", GOOD), TASKS)  # fmt: skip
case("a-huge-file", before("""
with open('huge', 'wb') as file:
    while True: file.write(b'x' * 10**7)
"""))  # fmt: skip
case("warnings", "import sys, warnings\n" + before("""
warnings.warn('careful')
print('on stderr', file=sys.stderr)
""", GOOD), TASKS)  # fmt: skip

# Leaving
case("sys-exit", before("import sys\nsys.exit(0)"), says="SystemExit")
case("os-exit", before("import os\nos._exit(0)"), state="partly", says="exit code 0")
case("exit-after-the-definition", RIGHT + "import os\nos._exit(0)\n", TASKS)
case("kill-all", before("import os\nos.kill(-1, 9)"))
case("kill-parent-and-self", before("""
import os
os.kill(os.getppid(), 9)
os.kill(os.getpid(), 9)
"""))  # fmt: skip
case("abort", before("import os\nos.abort()"), state="partly", says="signal")
case("segmentation-fault", before("import ctypes\nctypes.string_at(0)"), state="partly")
case("keyboard-interrupt", before("raise KeyboardInterrupt"))
case("generator-exit", before("raise GeneratorExit"))

# Patches
case("patched-comparisons", """
import torch
torch.allclose = torch.equal = torch.isclose = lambda *a, **k: True
torch.testing.assert_close = lambda *a, **k: None
torch.Tensor.__eq__ = lambda *a: torch.tensor(True)
torch.Tensor.allclose = torch.Tensor.equal = lambda *a, **k: True
""" + WRONG)  # fmt: skip
case("patched-builtins", """
import builtins
builtins.AssertionError = type('Never', (Exception,), {})
builtins.abs = builtins.round = lambda *a: 0
builtins.all = builtins.any = builtins.isinstance = lambda *a: True
""" + WRONG, state="partly")  # fmt: skip
case("patched-package", """
from t2i_course.grading import answer, checking
checking.Checking.close = checking.Checking.tensor = checking.Checking.holds = lambda *a, **k: None
checking.Task.run = checking.Task.__call__ = lambda *a, **k: None
answer.CheckFailed.__init__ = lambda *a: None
""" + WRONG)  # fmt: skip
case("patched-check", """
class ex02:
    def __getattr__(self, name): return lambda *a, **k: print('right')
ex02 = ex02()
""" + WRONG)  # fmt: skip
case("patched-numpy", """
import numpy
numpy.testing.assert_allclose = numpy.allclose = lambda *a, **k: True
torch.Tensor.numpy = lambda self: numpy.zeros(tuple(self.shape), dtype=numpy.uint8)
""" + WRONG)  # fmt: skip
case("patched-and-right", """
import torch
torch.allclose = lambda *a, **k: False
""" + RIGHT, TASKS)  # fmt: skip
case("broken-builtins-and-right", RIGHT + """
import builtins
builtins.len = builtins.isinstance = builtins.getattr = None
""", TASKS)  # fmt: skip
case("equal-to-everything", """
class Same:
    shape, dtype = (6, 3), torch.float32
    def __eq__(self, other): return True
    def __getattr__(self, name): return lambda *a, **k: self
    def __sub__(self, other): return 0.0
    def __abs__(self): return 0.0
    def __float__(self): return 0.0
def reparameterise(mu, logvar, eps): return Same()
""", says="type Same")  # fmt: skip
case("a-tensor-that-lies", """
class Lying(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function in (torch.allclose, torch.equal): return True
        return super().__torch_function__(function, types, args, kwargs or {})
def reparameterise(mu, logvar, eps): return (mu + logvar * eps).as_subclass(Lying)
""")  # fmt: skip

# Looking for answers
case("frames", before("""
import gc, sys
frame = sys._getframe()
while frame:
    for name in ('expected', 'c', 'check', 'task', 'seed'):
        if name in frame.f_locals and isinstance(frame.f_locals[name], torch.Tensor):
            return frame.f_locals[name]
    frame = frame.f_back
for each in gc.get_objects():
    if isinstance(each, torch.Tensor) and each.shape == mu.shape and each is not mu:
        found = each
"""))  # fmt: skip
case("modules", before("""
import sys
for name, module in list(sys.modules.items()):
    if 'checks' in name or 'solution' in name:
        return module.TASKS['ex02-reparameterise'].check.__globals__
from t2i_course.grading.checks import ex02
"""), says="Error")  # fmt: skip
case("the-package", before("""
from t2i_course.models.vae import reparameterise as theirs
return theirs(mu, logvar, eps)
"""), says="write it yourself")  # fmt: skip
case("only-an-import", "from t2i_course.models.vae import reparameterise\n",
     says="write it yourself")  # fmt: skip
case("files-of-others", before("""
import glob, os
for pattern in ('../*', '/*.ipynb', '/*/*.ipynb', '/*/*/solutions*', '/root/*', '/home/*/*',
                '/proc/*/environ', '/etc/passwd', '/tmp/*/*.ipynb', '/tmp/*/kept/*'):
    for path in glob.glob(pattern):
        try:
            text = open(path, errors='replace').read(20)
        except OSError:
            continue
        raise RuntimeError('FOUND ' + path + text)
"""))  # fmt: skip
case("environment", before("""
import os
for name, value in os.environ.items():
    assert not name.startswith('T2I'), name
assert 'SECRET_OF_THE_GRADER' not in os.environ, 'FOUND'
""", GOOD), TASKS)  # fmt: skip
case("network", before("""
import socket
for where in (('1.1.1.1', 53), ('127.0.0.1', 22)):
    try:
        socket.create_connection(where, timeout=1)
        raise SystemExit('FOUND the network')
    except OSError:
        pass
""", GOOD), TASKS)  # fmt: skip

# Forgery
case("forged-results", before("""
import json, os
for place in ('.', '..', '/', '/tmp', '/autograder/results', os.path.expanduser('~')):
    for name in ('results.json', 'grades.csv', 'results/results.json', 'kept/x.json'):
        try:
            with open(os.path.join(place, name), 'w') as file:
                json.dump({'score': 100, 'tests': []}, file)
        except OSError:
            pass
"""))  # fmt: skip
case("forged-message", before("""
import json, os, struct
text = json.dumps({'t': 'dict', 'of': [['id', 2], ['value', None]]}).encode()
for number in range(3, 64):
    try:
        os.write(number, struct.pack('<IQ', len(text), 0) + text)
    except OSError:
        pass
"""))  # fmt: skip
case("nonsense-on-the-wire", before("""
import os
for number in range(3, 64):
    try:
        os.write(number, b'\\xff' * 1000)
    except OSError:
        pass
"""), state="partly")  # fmt: skip
case("a-pickle", before("""
import os, pickle, struct
text = pickle.dumps({'id': 1})
os.write(3, struct.pack('<IQ', len(text), 0) + text)
"""), state="partly")  # fmt: skip
case("closed-descriptors", before("import os\nos.closerange(0, 64)"), state="partly")
case("too-much-to-send", before("return torch.zeros(10**8)"))
case("too-many-to-send", before("return list(range(3 * 10**6))"))
case("too-deep-to-send", before("value = []\nfor _ in range(500): value = [value]\nreturn value"))
case("a-number-too-long", before("return 10**5000"))
case("an-error-that-bites", """
class Bites(Exception):
    def __str__(self): raise Bites()
    __repr__ = __str__
def reparameterise(mu, logvar, eps): raise Bites()
""")  # fmt: skip
case(
    "an-error-with-markup", before("raise ValueError('``` <script>alert(1)</script> | # \\x1b[2J')")
)

# Wrong, plainly
case("nan", before("return mu * float('nan')"), says="NaN")
case("wrong-dtype", before("return (mu + (0.5 * logvar).exp() * eps).double()"), says="float64")
case("not-a-tensor", before("return [1, 2]"))
case("in-place", before("logvar.mul_(0.5).exp_()\nreturn mu + logvar * eps"), says="in place")
case(
    "cut-graph", before("return (mu + (0.5 * logvar).exp() * eps).detach()"), says="cuts the graph"
)
case("hard-coded", """
from t2i_course.grading.checking import Draws
known = Draws(0)
values = [known.normal(6, 3) for _ in range(3)]
answer = values[0] + (0.5 * values[1]).exp() * values[2]
def reparameterise(mu, logvar, eps): return answer.clone().requires_grad_()
""")  # fmt: skip
case("the-stub", STUB, says="not yet")
case("syntax-error", "def reparameterise(mu, logvar, eps)\n    return mu\n", says="SyntaxError")
case("magics", "%matplotlib inline\n" + RIGHT + "%timeit 1 + 1\n!ls\n", TASKS)
case("error-after-the-definition", RIGHT + "print(no_such_name)\n", TASKS, says="NameError")


# Cells
@changed("deleted-cell", OTHERS, says="No cell defines")
def _(notebook):
    notebook.cells.remove(cell_of(notebook, FIRST))


@changed("edited-checks")
def _(notebook):
    for cell in notebook.cells:
        if cell.id.endswith("-check"):
            cell.source = "raise SystemExit"


@changed("deleted-checks")
def _(notebook):
    notebook.cells = [cell for cell in notebook.cells if not cell.id.endswith("-check")]


def _again(notebook, source):
    """The first answer's cell twice, as a copy in JupyterLab: nbgrader's id too."""
    first = cell_of(notebook, FIRST)
    copy = nbformat.from_dict({**first, "id": "copied", "source": source})
    notebook.cells.insert(notebook.cells.index(first) + 1, copy)


@changed("duplicated-cell-right-last", says="written 2 times")
def _(notebook):
    _again(notebook, RIGHT)
    cell_of(notebook, FIRST).source = WRONG


@changed("duplicated-cell-wrong-last", OTHERS, says="written 2 times")
def _(notebook):
    _again(notebook, WRONG)


@changed("reordered-cells")
def _(notebook):
    notebook.cells.reverse()


@changed("untagged-cells", says="by the function's name")
def _(notebook):
    for k, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell{k}", nbformat.from_dict({})


@changed("answer-turned-into-text", OTHERS, says="no code cell")
def _(notebook):
    first = cell_of(notebook, FIRST)
    place = notebook.cells.index(first)
    notebook.cells[place] = nbformat.from_dict(
        {"cell_type": "markdown", "id": FIRST, "metadata": first.metadata, "source": first.source}
    )


@changed("answer-in-a-new-cell")
def _(notebook):
    first = cell_of(notebook, FIRST)
    new = nbformat.v4.new_code_cell(first.source, id="mine")
    notebook.cells.insert(notebook.cells.index(first) + 1, new)
    first.source = STUB


@changed("helper-and-import-elsewhere")
def _(notebook):
    notebook.cells.insert(2, nbformat.v4.new_code_cell("import numpy as np\nwhile False: pass"))
    notebook.cells.insert(
        3, nbformat.v4.new_code_cell("HALF = np.float64(0.5)\ndef sd(v): return (HALF * v).exp()")
    )
    cell_of(notebook, FIRST).source = RIGHT.replace("(0.5 * logvar).exp()", "sd(logvar).float()")


@changed("lost-imports")
def _(notebook):
    notebook.cells.remove(cell_of(notebook, "ex02-imports"))


@changed("everything-in-one-cell")
def _(notebook):
    sources = [cell_of(notebook, f"ex02-{task}").source for task in TASKS]
    notebook.cells = [nbformat.v4.new_code_cell("\n\n".join(sources), id="all")]


@changed("nothing-written", (), "empty")
def _(notebook):
    for task in TASKS:
        cell_of(
            notebook, f"ex02-{task}"
        ).source = f"def {task}(*args):\n    raise NotImplementedError  # write this\n"
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == "markdown":
            cell.source = release.TEXT_STUB


@changed("no-cells", (), "empty")
def _(notebook):
    notebook.cells = []


# Files
@file("broken-json", says="no JSON")
def _(folder, name):
    (folder / f"{name}.ipynb").write_text(nbformat.writes(honest())[:-400])


@file("empty-file", says="empty")
def _(folder, name):
    (folder / f"{name}.ipynb").write_bytes(b"")


@file("blank-file", says="empty")
def _(folder, name):
    (folder / f"{name}.ipynb").write_bytes(b" \n\n")


@file("a-list", says="no notebook")
def _(folder, name):
    (folder / f"{name}.ipynb").write_text("[1, 2]")


@file("brackets")
def _(folder, name):
    (folder / f"{name}.ipynb").write_text("[" * 5_000_000)


@file("many-objects", says="memory")
def _(folder, name):
    (folder / f"{name}.ipynb").write_text('{"cells": [' + "{}," * 6_000_000 + "{}]}")


@file("a-picture")
def _(folder, name):
    (folder / f"{name}.ipynb").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)


@file("odd-cells", TASKS, "graded", says="no cells")
def _(folder, name):
    notebook = json.loads(nbformat.writes(honest()))
    notebook["cells"] += [None, 3, "x", [], {"source": {}}, {"metadata": [], "source": [1, None]}]
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook))


@file("huge-outputs", TASKS, "graded")
def _(folder, name):
    notebook = honest()
    picture = {"image/png": "A" * 12_000_000}
    notebook.cells[1].outputs = [nbformat.v4.new_output("display_data", picture)]
    save(notebook, folder, name)


@file("format-3", TASKS, "graded", says="old format")
def _(folder, name):
    cells = [
        {"cell_type": "code", "language": "python", "metadata": {}, "outputs": [],
         "input": cell.source.splitlines(keepends=True)}
        for cell in honest().cells if cell.cell_type == "code"
    ]  # fmt: skip
    notebook = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""},
                "worksheets": [{"cells": cells, "metadata": {}}]}  # fmt: skip
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook))


@file("byte-order-mark", TASKS, "graded")
def _(folder, name):
    (folder / f"{name}.ipynb").write_bytes(b"\xef\xbb\xbf" + nbformat.writes(honest()).encode())


@file("utf-16", TASKS, "graded")
def _(folder, name):
    (folder / f"{name}.ipynb").write_bytes(nbformat.writes(honest()).encode("utf-16"))


@file("latin-1", TASKS, "graded", says="not UTF-8")
def _(folder, name):
    notebook = honest()
    cell_of(notebook, FIRST).source = RIGHT + "# dépend de l'écart type\n"
    text = json.dumps(notebook, ensure_ascii=False)
    (folder / f"{name}.ipynb").write_bytes(text.encode("latin-1", errors="replace"))


@file("a-link", says="link")
def _(folder, name):
    os.symlink("/etc/passwd", folder / f"{name}.ipynb")


@file("a-link-to-itself", says="link")
def _(folder, name):
    os.symlink(f"{name}.ipynb", folder / f"{name}.ipynb")


@file("a-pipe", says="pipe")
def _(folder, name):
    os.mkfifo(folder / f"{name}.ipynb")


@file("a-folder", says="no notebook")
def _(folder, name):
    (folder / f"{name}.ipynb").mkdir()


@file("in-a-folder", TASKS, "graded")
def _(folder, name):
    (folder / name / "ex02").mkdir(parents=True)
    save(honest(), folder / name / "ex02", "ex02_vae")


@file("another-ending", TASKS, "graded")
def _(folder, name):
    save(honest(), folder, name)
    (folder / f"{name}.ipynb").rename(folder / f"{name}.json")


def write_all(folder: Path) -> None:
    """Write the cases into a folder, one student each."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in CASES:
        each.write(folder, each.name)
