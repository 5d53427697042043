"""What a learner's code can and cannot do in a worker, and that an answer there is judged as here.

The oracle for values and feedback is `Answer`, the same function called in this process.
"""

import os
import re
import time
from pathlib import Path

import pytest
import torch

from t2i_course.contract import T2IError
from t2i_course.grading import asking, sandbox, stubs
from t2i_course.grading.answer import Answer, CheckFailed, NotYet
from t2i_course.grading.asking import LostError
from t2i_course.grading.remote import RemoteAnswer
from t2i_course.grading.sandbox import Sandbox

REFERENCE = "t2i_course.models.vae:reparameterise"


@pytest.fixture(scope="module")
def box():
    os.environ["SECRET_OF_THE_GRADER"] = "x"
    try:
        with Sandbox([REFERENCE]) as found:
            yield found
    except T2IError as error:
        if "--trust-submissions" not in str(error):
            raise
        pytest.skip(str(error))
    finally:
        del os.environ["SECRET_OF_THE_GRADER"]


def remote(worker, source, name="f"):
    reply = worker.ask("define", cells=[source], forgiven=0, name=name)
    assert reply["answer"] is not None, reply
    return RemoteAnswer(worker, reply["answer"])


@pytest.fixture
def evaluate(box):
    """Evaluates an expression in a fresh worker."""

    def evaluate(expression, seconds=2.0, memory_mb=512):
        with box.worker(seconds, memory_mb) as worker:
            code = "import os, sys, torch\ndef f(): return eval(" + repr(expression) + ")"
            return remote(worker, code)()

    return evaluate


SOURCES = {
    "right": "def f(x): return 2 * x",
    "many kinds": "def f(x): return {'a': [x, (1, 2.5, None)], 'b': 'text', 'c': x > 0}",
    "stub": "def f(x):\n    raise NotImplementedError",
    "raises": "def f(x):\n    return x @ x @ x",
    "in place": "def f(x):\n    x += 1\n    return x",
    "no plain value": "def f(x): return {1, 2}",
    "cut": "def f(x): return x.detach() * 2",
    "constant": "def f(x): return 3.0",
    "views": "def f(x): return x.T[::2]",
}


def outcome(call, *args):
    try:
        return call(*args)
    except (NotYet, CheckFailed) as feedback:
        return type(feedback).__name__, str(feedback)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return a == b


def test_values_and_feedback_are_those_of_an_answer_in_this_process(box):
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for what, source in SOURCES.items():
        namespace = {}
        exec(compile(source, "<cell 0>", "exec"), namespace)
        here = Answer(namespace["f"])
        with box.worker(5, 512) as worker:
            there = remote(worker, source)
            for method in ("__call__", "gradients"):
                a, b = (outcome(getattr(each, method), x) for each in (here, there))
                if "in the line" in str(b):  # whose text is known only there
                    b = (b[0], re.sub(" in the line `.*`", "", b[1]))
                    a = (a[0], re.sub(" in the line `.*`", "", a[1]))
                assert equal(a, b), (what, method, a, b)


def test_a_learners_line_is_named(box):
    with box.worker(5, 512) as worker:
        answer = remote(worker, "def f(x):\n    y = x\n    return y.no_such_thing")
        with pytest.raises(CheckFailed, match=r"in the line `return y.no_such_thing`"):
            answer(torch.ones(2))


def test_a_function_among_the_arguments_is_called_here_and_differentiated_to_any_order(box):
    source = (
        "def f(x, g, w):\n"
        "    y, = torch.autograd.grad(g(x, scale=w)['y'].sum(), x, create_graph=True)\n"
        "    z, = torch.autograd.grad(y.sum(), x, create_graph=True)\n"
        "    return g(x, scale=w)['y'] + y * z"
    )
    called = []

    def g(x, scale):
        called.append(x.shape)
        return {"y": scale * x.sin() * x, "n": 3}

    x = torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    w = torch.tensor(1.7, dtype=torch.float64)
    namespace = {"torch": torch}
    exec(source, namespace)
    here = Answer(namespace["f"]).gradients(x, g, w, wrt=(0, 2))
    called.clear()
    with box.worker(5, 512) as worker:
        there = remote(worker, "import torch\n" + source).gradients(x, g, w, wrt=(0, 2))
    assert called
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b)


def test_what_a_function_here_raises_is_raised_there_or_is_feedback(box):
    def feedback(x):
        raise CheckFailed("property", "the case", "one call", "two")

    def bad(x):
        raise ValueError("no such shape")

    with box.worker(5, 512) as worker:
        answer = remote(worker, "def f(x, g):\n    return g(x)")
        with pytest.raises(CheckFailed, match="no such shape"):
            answer(torch.ones(1), bad)
        caught = remote(worker, "def h(x, g):\n  try: g(x)\n  except Exception: return x", "h")
        with pytest.raises(CheckFailed, match="one call"):
            caught(torch.ones(1), feedback)
        assert torch.equal(answer(torch.ones(1), torch.neg), -torch.ones(1))


def test_generators_cross_with_their_state(box):
    with box.worker(5, 512) as worker:
        answer = remote(worker, "import torch\ndef f(g): return torch.randn(3, generator=g)")
        got = answer(torch.Generator().manual_seed(5))
    assert torch.equal(got, torch.randn(3, generator=torch.Generator().manual_seed(5)))


def test_a_class_is_built_called_read_and_given_weights(box):
    source = "from torch import nn\nclass Net(nn.Linear): pass\nclass No: pass"
    with box.worker(5, 512) as worker:
        net = remote(worker, source, "Net").build(3, 2)
        state = {"weight": torch.ones(2, 3), "bias": torch.tensor([1.0, 2.0])}
        assert {name: v.shape for name, v in net.state().items()} == {
            name: v.shape for name, v in state.items()
        }
        net.load(state)
        assert equal(net.state(), state)
        assert torch.equal(net(torch.ones(1, 3)), torch.tensor([[4.0, 5.0]]))
        assert torch.equal(net.gradients(torch.ones(1, 3))[0], torch.tensor([[2.0, 2.0, 2.0]]))
        with pytest.raises(CheckFailed, match="weights"):
            net.load({"weight": torch.ones(5)})
        with pytest.raises(CheckFailed, match="nn.Module"):
            remote(worker, source, "No").build().state()


def test_a_worker_is_alone_and_has_only_what_python_needs(evaluate):
    assert evaluate("(os.getpid(), os.getppid())") == (1, 0)
    assert evaluate("os.listdir('.')") == []
    assert set(evaluate("os.listdir('/')")) <= {
        *("dev", "etc", "lib", "lib32", "lib64", "proc", "sys", "usr", "scratch", "nix"),
        *(Path(path).parts[1] for path in (os.path.realpath(os.__file__), torch.__file__)),
        *(Path(path).parts[1] for path in (os.path.realpath("/tmp"), stubs.PACKAGE.as_posix())),
    }
    known = set(evaluate("list(os.environ)"))
    assert known >= {"HOME", "OMP_NUM_THREADS"}
    assert not {name for name in known if "T2I" in name or "SECRET" in name}
    assert evaluate("os.path.exists(" + repr(str(Path(__file__).parent)) + ")") is False
    assert evaluate("os.path.exists(" + repr(str(Path.cwd() / "solutions")) + ")") is False


def test_of_the_package_it_has_no_checks_and_no_answers(evaluate):
    here = "os.path.dirname(__import__('t2i_course').__file__)"
    found = set(evaluate(f"os.listdir({here}) + os.listdir({here} + '/grading')"))
    assert "models" in found and not found & {"zoo", "checks", "concepts.toml"}
    with pytest.raises(CheckFailed, match="write it yourself"):
        evaluate("__import__('t2i_course.models.vae').models.vae.reparameterise(1, 2, 3)")


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("os.fork()", "BlockingIOError|PermissionError"),
        ("__import__('threading').Thread(target=print).start()", "RuntimeError"),
        ("os.execv(sys.executable, ['python'])", "PermissionError|FileNotFoundError"),
        ("__import__('socket').create_connection(('127.0.0.1', 22))", "Error"),
        ("open('/new', 'w')", "Read-only"),
        ("open(torch.__file__, 'a')", "Error"),
        ("os.mkdir('/usr/new')", "Read-only"),
        ("torch.zeros(1 << 40)", "memory"),
        ("open('file', 'wb').write(bytes(1 << 26))", "Error"),
        ("__import__('mmap').mmap(-1, 1 << 40)", "memory|MemoryError"),
        ("[open(str(k), 'w') for k in range(100)]", "Too many open files"),
        ("__import__('resource').setrlimit(9, (-1, -1))", "Error"),
        ("os.setuid(0)", "PermissionError|OSError"),
        ("os.chroot('/')", "PermissionError"),
    ],
)
def test_it_may_not(evaluate, expression, error):
    with pytest.raises(CheckFailed, match=error):
        evaluate(expression)


def test_calls_of_the_system_that_would_open_a_door_are_refused(evaluate):
    libc = "__import__('ctypes').CDLL(None, use_errno=True)"
    for call in ("unshare(0x10000000)", "mount(0, b'/', 0, 0, 0)", "ptrace(0, 0, 0, 0)"):
        assert evaluate(f"{libc}.{call}") == -1


@pytest.mark.parametrize(
    ("expression", "state"),
    [
        ("os._exit(3)", "crashed"),
        ("os.abort()", "crashed"),
        ("__import__('ctypes').string_at(0)", "crashed"),
        ("os.close(3)", "crashed"),
        ("list(iter(int, 1))", "timed out|crashed|MemoryError"),  # whichever limit comes first
        ("[None for _ in iter(int, 1) if 0]", "timed out"),
        ("__import__('time').sleep(100)", "timed out"),
        ("os.write(3, b'nonsense' * 1000)", "forged"),
    ],
)
def test_a_worker_that_is_gone_is_lost_and_no_error_of_ours(evaluate, expression, state):
    started = time.monotonic()
    with pytest.raises((LostError, CheckFailed)) as lost:
        evaluate(expression, seconds=1)
    came = getattr(lost.value, "state", "") or lost.value.came.split(":")[0]
    assert came in state.split("|")
    assert time.monotonic() - started < 60  # it was ended: nobody waits for it


def test_a_forged_value_is_judged_as_a_value_and_the_worker_answers_no_more(box):
    forged = (
        "import json, os, struct\n"
        "def f():\n"
        "    text = json.dumps({'t': 'dict', 'of': [['id', 77], ['value', 1]]}).encode()\n"
        "    os.write(3, struct.pack('<IQ', len(text), 0) + text)\n"
    )
    with box.worker(5, 512) as worker:
        answer = remote(worker, forged)
        with pytest.raises(LostError, match="answers nothing"):
            answer()
        with pytest.raises(LostError):
            answer()


@pytest.mark.parametrize(
    "reply",
    [
        None, [], {}, {"id": 1}, {"id": 2, "value": 1}, {"id": True, "failed": [1] * 5},
        {"id": 1, "failed": ["x"]}, {"id": 1, "not_yet": 1}, {"call": 0}, 5, "value",
    ],
)  # fmt: skip
def test_a_reply_that_is_none_is_a_wire_error(reply):
    worker = asking.Worker(None, None, 1.0, lambda: False)
    worker.last = 1
    if reply == {"id": True, "failed": [1] * 5}:
        reply = {"id": 3, "failed": ["x"] * 5}
    with pytest.raises(asking.WireError):
        worker._value(reply)


@pytest.mark.parametrize(
    "call",
    [
        {"call": 9}, {"call": -1}, {"call": "0"}, {"args": [1]}, {"kwargs": []},
        {"counts": [1] * 9},
        {"counts": [5], "more": []}, {"counts": [1], "more": [3]}, {"counts": ["x"], "more": []},
        {"counts": 3}, {"more": None, "counts": [1]},
    ],
)  # fmt: skip
def test_a_call_of_ours_with_nonsense_is_an_error_that_is_sent_back(call):
    whole = {"call": 0, "args": (torch.ones(2),), "kwargs": {}, "more": [], "counts": []} | call
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        asking.evaluated([torch.neg], whole)


def test_two_workers_share_nothing(box):
    with box.worker(5, 512) as one, box.worker(5, 512) as two:
        first = remote(
            one, "import torch\ndef f():\n    open('x', 'w')\n    torch.add = 3\n    return 1"
        )
        second = remote(
            two, "import os, torch\ndef f(): return os.listdir('.'), callable(torch.add)"
        )
        first()
        assert second() == ([], True)


def test_stubs_replace_functions_and_methods_and_nothing_else():
    source = (
        "A = 1\ndef f(x: int = A) -> int:\n    'doc'\n    return x\n"
        "class C:\n    n = 2\n    def g(self): return 1\ndef h(): return f() + 1\n"
    )
    text = stubs.stubbed(source, ["f", "C"])
    namespace = {}
    exec(text, namespace)
    for call in (namespace["f"], namespace["C"]().g, namespace["h"]):
        with pytest.raises(Exception, match="write it yourself"):
            call()
    assert namespace["A"] == 1 and namespace["C"].n == 2
    with pytest.raises(T2IError, match="nothing_here"):
        stubs.stubbed(source, ["nothing_here"])


def test_where_the_system_offers_no_namespaces_it_says_so(monkeypatch):
    monkeypatch.setattr(Sandbox, "_map", lambda self, pid: False)
    with pytest.raises(T2IError, match="--trust-submissions"):
        Sandbox([])


def test_a_submission_that_could_start_processes_is_no_isolation(monkeypatch):
    monkeypatch.setattr(sandbox.Wire, "receive", lambda self: {"hello": True})
    with pytest.raises(T2IError, match="could start processes"):
        Sandbox([])


def test_trusted_submissions_run_without_namespaces_and_within_the_limits():
    with Sandbox([REFERENCE], isolated=False) as box:
        with box.worker(2, 512) as worker:
            answer = remote(worker, "import os\ndef f(x): return 2 * x, os.listdir('.')")
            value, files = answer(torch.ones(2))
            assert torch.equal(value, 2 * torch.ones(2)) and files == []
        with box.worker(1, 512) as worker, pytest.raises(LostError, match="longer than"):
            remote(worker, "def f():\n    while True: pass")()
        with box.worker(2, 512) as worker, pytest.raises(CheckFailed, match="memory"):
            remote(worker, "import torch\ndef f(): return torch.zeros(1 << 40)")()
