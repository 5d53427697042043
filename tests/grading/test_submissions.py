"""Whose a file is, which one counts, and what a notebook holds."""

import json
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2i_course.errors import T2IError
from t2i_course.grading import submissions
from t2i_course.grading.notebooks import UnreadableError, answers

STEM = "ex03_one_hot_cvae"


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("anna.ipynb", "anna"),
        ("anna", "anna"),
        ("anna_ex03.ipynb", "anna"),
        ("anna-EX03-final.ipynb", "anna"),
        ("anna_ex03_one_hot_cvae.ipynb", "anna"),
        ("ex03_one_hot_cvae_anna.ipynb", "anna"),
        ("anna (1).ipynb", "anna"),
        ("anna - Copy.ipynb", "anna"),
        ("anna_ex03-Copy1.ipynb", "anna"),
        ("Anna Lund_1234_assignsubmission_file_", "Anna Lund"),
        ("anna.lund_ex03.IPYNB", "anna.lund"),
        ("anna.ipynb.txt", "anna"),
        ("ex03_one_hot_cvae.ipynb", "ex03_one_hot_cvae"),
        ("ex03.ipynb", "ex03"),
        ("-rf.ipynb", "rf"),
        (".ipynb", "?"),
        ("a\nb.ipynb", "a\\nb"),
        (os.fsdecode(b"\xffx.ipynb"), "\\xffx"),
        ("e\u0301va.ipynb", "éva"),
    ],
)
def test_a_students_name_is_read_from_the_files(name, student):
    assert submissions.student_of(name, STEM) == student


@given(st.binary(min_size=1, max_size=40).filter(lambda raw: b"/" not in raw and b"\0" not in raw))
def test_any_name_gives_a_student_that_can_be_printed(raw):
    student = submissions.student_of(os.fsdecode(raw), STEM)
    assert student and student.isprintable()
    student.encode()


@given(st.lists(st.text(min_size=1, max_size=90), unique=True, max_size=8))
def test_every_student_has_a_safe_file_of_their_own(names):
    slugs = submissions.slugs(names)
    assert len({slug.lower() for slug in slugs.values()}) == len(names)
    for slug in slugs.values():
        assert slug[0] not in ".-" and "/" not in slug and len(slug.encode()) < 250
        assert slug == "".join(c for c in slug if c.isalnum() or c in "_.-")


def make(folder, name, when, text="{}"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))
    return path


def test_everything_in_the_folder_has_an_entry_and_the_newest_of_a_student_counts(tmp_path):
    make(tmp_path, "anna.ipynb", 100)
    make(tmp_path, "anna (1).ipynb", 200)
    make(tmp_path, "ben/ex03/ex03_one_hot_cvae.ipynb", 50)
    make(tmp_path, "ben/ex03/.ipynb_checkpoints/ex03_one_hot_cvae-checkpoint.ipynb", 90)
    make(tmp_path, "ben/ex04/ex04_gan.ipynb", 60)
    make(tmp_path, "cid_ex04.ipynb", 10)
    make(tmp_path, "notes.pdf", 10)
    make(tmp_path, ".DS_Store", 10)
    (tmp_path / "dan").mkdir()
    os.symlink(tmp_path / "anna.ipynb", tmp_path / "eve.ipynb")
    os.mkfifo(tmp_path / "fay.ipynb")
    os.symlink(tmp_path / "ben", tmp_path / "gus")
    found = submissions.find(tmp_path, "ex03", STEM)
    assert [(each.student, each.name, each.state) for each in found] == [
        ("anna", "anna (1).ipynb", ""),
        ("anna", "anna.ipynb", "superseded"),
        ("ben", "ben/ex03/ex03_one_hot_cvae.ipynb", ""),
        ("cid", "cid_ex04.ipynb", "unreadable"),
        ("dan", "dan", "unreadable"),
        ("eve", "eve.ipynb", "unreadable"),
        ("fay", "fay.ipynb", "unreadable"),
        ("gus", "gus", "unreadable"),
        ("notes.pdf", "notes.pdf", ""),
    ]
    notes = {each.student: each.note for each in found}
    assert "link" in notes["eve"] and "link" in notes["gus"] and "pipe" in notes["fay"]
    assert "another exercise" in notes["cid"]


def test_nbgraders_timestamp_says_when_a_submission_came(tmp_path):
    make(tmp_path, "ben/ex03/ex03_one_hot_cvae.ipynb", 50)
    make(tmp_path, "ben/ex03/timestamp.txt", 50, "2026-02-02 15:58:23.948203 UTC")
    make(tmp_path, "cid/ex03/ex03_one_hot_cvae.ipynb", 70)
    make(tmp_path, "cid/ex03/timestamp.txt", 50, "yesterday")
    ben, cid = submissions.find(tmp_path, "ex03", STEM)
    assert (round(ben.when), cid.when) == (1770047904, 70)


def test_reading_follows_no_link_and_waits_for_no_pipe(tmp_path):
    os.symlink(make(tmp_path, "there", 1), tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "nothing", "."):
        with pytest.raises(submissions.UnfitFileError):
            submissions.read(tmp_path / name)
    with pytest.raises(submissions.UnfitFileError, match="larger"):
        submissions.read(make(tmp_path, "large", 1, "x" * 11), largest=10)


def test_the_exercise_is_found_by_names_or_else_by_ids(tmp_path):
    make(tmp_path, "a/anna.ipynb", 1, '{"id": "ex05-q_sample", "x": "ex05-kl"}')
    make(tmp_path, "a/ben.ipynb", 1, '{"id": "ex05-q_sample", "x": "ex06-kl", "y": "ex05-y"}')
    assert submissions.exercise_in(tmp_path / "a") == "ex05"
    make(tmp_path, "a/cid_ex07.ipynb", 1)
    assert submissions.exercise_in(tmp_path / "a") == "ex07"
    make(tmp_path, "a/ex08/dan.ipynb", 1)
    make(tmp_path, "a/dan_ex08.ipynb", 1)
    with pytest.raises(T2IError, match="ex07, ex08"):
        submissions.exercise_in(tmp_path / "a")
    make(tmp_path, "b/anna.ipynb", 1)
    with pytest.raises(T2IError, match="--exercise"):
        submissions.exercise_in(tmp_path / "b")


@pytest.mark.parametrize(
    "text",
    ["anna\nben\n", "\ufeffstudent,mark\nanna,1\nben,2\n", "last_name,id\nx,anna\ny,ben\n",
     "anna\r\n\r\nben\r\n"],
)  # fmt: skip
def test_a_roster_is_lines_or_a_table(tmp_path, text):
    (tmp_path / "roster.csv").write_text(text)
    assert submissions.read_roster(tmp_path / "roster.csv") == ["anna", "ben"]


@pytest.mark.parametrize("text", ["", "anna\nanna\n", "student\n"])
def test_a_roster_of_nobody_or_of_one_twice_is_an_error(tmp_path, text):
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(T2IError, match="roster"):
        submissions.read_roster(tmp_path / "roster.csv")


def test_who_is_missing_has_an_entry_and_who_is_a_stranger_a_note(tmp_path):
    make(tmp_path, "anna.ipynb", 1)
    make(tmp_path, "zoe.ipynb", 1)
    found = submissions.with_roster(submissions.find(tmp_path, "ex03", STEM), ["anna", "ben"])
    assert [(each.student, each.state) for each in found] == [
        ("anna", ""), ("ben", "missing"), ("zoe", ""),
    ]  # fmt: skip
    assert "Not in the roster" in found[2].note and not found[0].note


# Notebooks


def notebook(*cells):
    """The bytes of a notebook with these (id, source) code cells."""
    listed = [{"cell_type": "code", "id": name, "source": source} for name, source in cells]
    return json.dumps({"cells": listed, "nbformat": 4}).encode()


def held(raw, known=("torch",)):
    found = answers(raw, [["ex03-f", "f"]], list(known), [])
    return found["tasks"]["ex03-f"]


RIGHT, OTHER, STUB = (
    "def f(x): return x",
    "def f(x): return -x",
    "def f(x):\n    '''Doc.'''\n    raise NotImplementedError  # write this",
)


@pytest.mark.parametrize(
    ("cells", "chosen"),
    [
        ([("ex03-f", RIGHT)], RIGHT),
        ([("a", RIGHT)], RIGHT),
        ([("ex03-f", RIGHT), ("a", OTHER)], RIGHT),
        ([("ex03-f", STUB), ("a", OTHER)], OTHER),
        ([("ex03-f", OTHER), ("ex03-f", RIGHT)], RIGHT),
        ([("a", OTHER), ("b", RIGHT)], RIGHT),
        ([("a", RIGHT), ("b", STUB)], RIGHT),
        ([("ex03-f", STUB)], STUB),
        ([("ex03-f", "def f(x:"), ("a", OTHER)], OTHER),
        ([("ex03-f", "def f(x:")], "def f(x:"),
        ([("ex03-f-check", RIGHT)], None),
        ([("a", "f = lambda x: x")], "f = lambda x: x"),
        ([("a", "try:\n    def f(x): return x\nfinally: pass")],
         "try:\n    def f(x): return x\nfinally: pass"),
        ([("a", "def g():\n    def f(x): return x")], None),
        ([], None),
    ],
)  # fmt: skip
def test_the_answer_is_its_own_cell_or_else_the_last_that_defines_the_function(cells, chosen):
    assert held(notebook(*cells))["cell"] == chosen


def test_helpers_come_along_with_what_they_use_and_nothing_else_does():
    raw = notebook(
        ("a", "import numpy as np\nopen('bad')\nEPS = 1e-5"),
        ("b", "def g(x): return h(x) + EPS"),
        ("c", "def h(x): return np.exp(x)\ndef unused(): pass\nexit()"),
        ("ex03-f", "def f(x): return g(x) + torch.ones(1) + len(x)"),
        ("d", "torch = None\ndef len(x): return 3"),
        ("e", "x = 5"),
    )
    assert held(raw)["helpers"] == [
        "import numpy as np", "EPS = 1e-05", "def g(x):\n    return h(x) + EPS",
        "def h(x):\n    return np.exp(x)",
    ]  # fmt: skip


def test_definitions_leave_out_what_is_done_beside_them():
    raw = notebook(("ex03-f", "import os\nA = 1\nos.x = 2\n@torch.no_grad()\ndef f(): pass\nf()"))
    assert held(raw)["definitions"] == (
        "import os\nA = 1\n\n@torch.no_grad()\ndef f():\n    pass"
    )  # fmt: skip


def test_ipythons_own_lines_are_left_out():
    assert held(notebook(("a", "%time\n!ls\n" + RIGHT)))["cell"] == "pass\npass\n" + RIGHT


@given(st.binary(max_size=60))
def test_any_bytes_are_a_notebook_or_a_sentence(raw):
    try:
        answers(raw, [["ex03-f", "f"]], [], [])
    except UnreadableError as error:
        assert str(error).endswith(".") or ")" in str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("def f(x): return x"),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["cells", "worksheets", "source", "input", "metadata", "nbgrader", "id", "grade_id",
             "cell_type", "grade", "solution"]
        ),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.fixed_dictionaries({"cells": st.lists(json_values, max_size=4)}) | json_values)
def test_any_json_is_a_notebook_or_a_sentence(value):
    try:
        found = answers(json.dumps(value).encode(), [["ex03-f", "f"]], [], ["ex03-f"])
        json.dumps(found)
    except UnreadableError:
        pass


@given(st.text(max_size=40) | st.sampled_from(["(" * 500, "-" * 3000 + "1", "\0", "f" + "." * 9]))
def test_any_source_is_looked_at_without_an_error(source):
    held(notebook(("ex03-f", source), ("a", "def f(): return " + source)))


def test_a_file_that_may_not_be_read_has_a_reason(tmp_path):
    path = make(tmp_path, "anna.ipynb", 1)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("nothing is forbidden to this user")
    assert stat.S_IMODE(path.stat().st_mode) == 0
    with pytest.raises(submissions.UnfitFileError, match="cannot be read"):
        submissions.read(path)
