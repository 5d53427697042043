"""The comparison, whole and interrupted, on a little of the drawn stand-in."""

import json

import pytest

from t2i_course import compare as module
from t2i_course import evaluation
from t2i_course.compare import ENTRIES, HEADER, compare
from t2i_course.papers import FIRST_TABLE_1


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("T2I_PROFILE", "smoke")


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on_where_it_was(tmp_path, monkeypatch):
    scored = []

    def evaluate(family, *args, **kwargs):
        if len(scored) == 2 and not tmp_path.joinpath("again").exists():
            raise KeyboardInterrupt
        scored.append(family.name)
        return real(family, *args, **kwargs)

    real = evaluation.evaluate
    monkeypatch.setattr(module.evaluation, "evaluate", evaluate)
    how = {"source": "sketches", "samples": 100, "say": lambda text: None}
    with pytest.raises(KeyboardInterrupt):
        compare(tmp_path / "c", 0.004, **how)
    cards = [tmp_path / "c" / entry.recipe / "latest" for entry in ENTRIES[:3]]
    before = [path.stat().st_mtime_ns for path in cards]
    tmp_path.joinpath("again").touch()
    report = compare(tmp_path / "c", 0.004, **how)
    assert scored == ["conv-cvae", "gan", "diffusion", "cvae"]
    assert [path.stat().st_mtime_ns for path in cards] == before

    kept = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert [row["recipe"] for row in kept["rows"]] == [entry.recipe for entry in ENTRIES]
    assert all(row["trained_seconds"] >= 0.24 for row in kept["rows"])
    sizes = [row["parameters"] for row in kept["rows"][:3]]
    assert max(sizes) <= 1.2 * min(sizes)
    table = (tmp_path / "c" / "comparison.md").read_text().splitlines()
    assert table[0].strip("| ").split(" | ") == list(HEADER)
    assert sum("the first paper, on COCO" in line for line in table) == len(FIRST_TABLE_1)
    assert "14.9 (FID)" in table[-3] and "stand-in" in table[-1]
    assert (tmp_path / "c" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    page = report.read_text()
    assert "stand-in, not FashionMNIST" in page and page.count("data:image/png") == 5
