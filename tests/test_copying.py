"""A learner's copy of the course: whole, up to date, and never at the cost of their work."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t2i_course import __version__, copying
from t2i_course.cli import cli
from t2i_course.copying import copy_course
from t2i_course.errors import T2IError
from t2i_course.trouble.notebooks import STAMP


def course(folder: Path, **notebooks: str) -> Path:
    """A small course: notebooks by name and content."""
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    for name, content in {"00_start_here": "start", **notebooks}.items():
        (folder / "notebooks" / f"{name}.ipynb").write_text(content)
    return folder


def files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != STAMP)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_the_checkout_is_the_source_and_is_copied_byte_for_byte(tmp_path):
    done = copy_course(tmp_path / "mine")
    origin = copying.source()
    assert (origin / "pyproject.toml").is_file() and not done.kept and not done.same
    names = {f"notebooks/{path.name}" for path in (origin / "notebooks").glob("*.ipynb")}
    assert names <= set(done.written)
    for name in done.written:
        assert (tmp_path / "mine" / name).read_bytes() == (origin / name).read_bytes()
    again = copy_course(tmp_path / "mine")
    assert not again.written and not again.kept and set(again.same) == set(done.written)


def test_what_was_not_touched_is_brought_up_to_date(tmp_path):
    mine = tmp_path / "mine"
    copy_course(mine, course(tmp_path / "old", a="one", b="two"))
    done = copy_course(mine, course(tmp_path / "new", a="one more", b="two", c="three"))
    assert sorted(done.written) == ["notebooks/a.ipynb", "notebooks/c.ipynb"] and not done.kept
    assert files(mine) == files(tmp_path / "new")
    assert json.loads((mine / STAMP).read_text())["version"] == __version__


def test_what_was_changed_stays_and_the_new_version_lies_beside_it(tmp_path):
    mine, name = tmp_path / "mine", "notebooks/a.ipynb"
    copy_course(mine, course(tmp_path / "old", a="one"))
    (mine / name).write_text("my work")
    new = course(tmp_path / "new", a="one more")
    done = copy_course(mine, new)
    beside = f"notebooks/a.new-{__version__}.ipynb"
    assert done.kept == {name: beside} and (mine / name).read_text() == "my work"
    assert (mine / beside).read_text() == "one more" and f"{name}  ->  {beside}" in str(done)
    assert files(mine) == {**files(new), name: "my work", beside: "one more"}
    copy_course(mine, new)
    assert len(files(mine)) == len(files(new)) + 1  # nothing new beside it


def test_work_in_the_file_beside_is_kept_too(tmp_path):
    mine = tmp_path / "mine"
    for content, change in (("one", "mine"), ("two", "mine too"), ("three", "")):
        done = copy_course(mine, course(tmp_path / content, a=content))
        target = mine / done.kept.get("notebooks/a.ipynb", "notebooks/a.ipynb")
        if change:
            target.write_text(change)
    assert sorted(v for k, v in files(mine).items() if "/a." in k) == ["mine", "mine too", "three"]


def test_a_file_that_was_there_before_any_copy_is_the_learners(tmp_path):
    name = "notebooks/00_start_here.ipynb"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / name).write_text("my own notes")
    done = copy_course(tmp_path, course(tmp_path / "x" / "course"))
    assert (tmp_path / name).read_text() == "my own notes" and name in done.kept


def test_what_is_copied_has_no_dead_links_and_the_last_words_name_what_there_is(tmp_path):
    done = copy_course(tmp_path)
    dead = set()
    for name in done.written:
        path = tmp_path / name
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            sources = (
                c["source"] for c in json.loads(text)["cells"] if c["cell_type"] == "markdown"
            )
            text = "\n".join("".join(source) for source in sources)
        for target in re.findall(r"\]\((?![a-z]+:)([^)\s#]+\.(?:ipynb|md|png))", text):
            if not (path.parent / target).is_file():
                dead.add(target)
    assert not dead
    said = CliRunner().invoke(cli, ["copy-course", str(tmp_path / "mine")]).output
    assert "notebooks/00_start_here.ipynb" in said and "exercises/exNN" in said
    assert "solutions/" in said and not (tmp_path / "mine" / "README.md").exists()


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["edit", "update"]), st.integers(0, 3)),
        max_size=8,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_learners_text_is_ever_lost(tmp_path_factory, story):
    """Whatever is edited and updated, in any order: what a learner wrote last is there."""
    base = tmp_path_factory.mktemp("story")
    written: dict[str, str] = {}
    contents = dict.fromkeys("abc", "0")
    for k, (name, what, value) in enumerate([("a", "update", 0), *story]):
        if what == "update":
            contents[name] = str(value)
            copy_course(base / "mine", course(base / f"v{k}", **contents))
        else:
            text = f"learner's {value}"
            (base / "mine" / "notebooks" / f"{name}.ipynb").write_text(text)
            written[name] = text
    for name, text in written.items():
        assert (base / "mine" / "notebooks" / f"{name}.ipynb").read_text() == text


def test_a_damaged_stamp_costs_nobody_their_work(tmp_path):
    mine = tmp_path / "mine"
    copy_course(mine, course(tmp_path / "old", a="one"))
    (mine / STAMP).write_text("{")
    done = copy_course(mine, course(tmp_path / "new", a="one more"))
    assert (mine / "notebooks/a.ipynb").read_text() == "one" and "notebooks/a.ipynb" in done.kept


def test_what_cannot_be_done_is_one_sentence(tmp_path, monkeypatch):
    origin = course(tmp_path / "course")
    (tmp_path / "file").write_text("")
    with pytest.raises(T2IError, match="is a file"):
        copy_course(tmp_path / "file", origin)
    with pytest.raises(T2IError, match="the course itself"):
        copy_course(origin, origin)
    with pytest.raises(T2IError, match="cannot be written"):
        copy_course(tmp_path / "file" / "inside", origin)
    monkeypatch.setattr(copying, "PACKAGE", tmp_path / "elsewhere" / "t2i_course")
    with pytest.raises(T2IError, match="holds no notebooks"):
        copying.source()
