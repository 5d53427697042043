"""The papers' experiments, whole and killed, on a few drawn photographs."""

import json

import pytest
from click.testing import CliRunner
from photographs import folder_of

from t2i_course import cli, experiments, papers, photo_evaluation, texts
from t2i_course.contract import T2IError
from t2i_course.experiments import Experiment


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("photographs") / "drawn"
    folder_of(path, 70, 32, "captions_train.json")
    return str(folder_of(path, 120, 32, "captions_val.json"))


def experiment(folder, source, **how):
    return Experiment(
        folder, source, texts.load("clip-tiny"), text="keywords:20", count=100,
        changes={"image_shape": (3, 32, 32)}, say=lambda text: None, **how,
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_experiment_ends_with_the_same_table_bit_for_bit(tmp_path, source, monkeypatch):
    whole = experiment(tmp_path / "whole", source).epochs(every=1, stops=3)
    scored = []

    def evaluate(*args, **how):
        scored.append(1)
        if len(scored) == 2:
            raise KeyboardInterrupt
        return real(*args, **how)

    real = photo_evaluation.evaluate
    monkeypatch.setattr(experiments.photo_evaluation, "evaluate", evaluate)
    again = experiment(tmp_path / "again", source)
    with pytest.raises(KeyboardInterrupt):
        again.epochs(every=1, stops=3)
    assert not (tmp_path / "again" / "scores.md").exists()
    table = again.epochs(every=1, stops=3)
    assert len(scored) == 4  # one was lost, none was done twice
    assert table.read_bytes() == whole.read_bytes()
    text = table.read_text(encoding="utf-8")
    for name in ("1 epochs", "2 epochs", "3 epochs", "300 epochs, the second paper's table 3"):
        assert f"| {name} |" in text
    assert "20.02" in text and "No FID" in text and "clip-tiny" in text
    rows = [json.loads(path.read_text()) for path in table.parent.glob("paper-cvae-coco-*.json")]
    assert len({row["how"]["weights"] for row in rows}) == 3  # it went on training between them
    for name in ("samples.png", "reconstructions.png", "figure.png", "cost.md"):
        assert (table.parent / name).stat().st_size > 100


@pytest.mark.slow
def test_the_families_and_the_latents_have_a_row_each_beside_the_papers(tmp_path, source):
    table = experiment(tmp_path / "f", source).families(epochs=1).read_text(encoding="utf-8")
    for name in (*experiments.FAMILIES, *papers.FIRST_TABLE_1):
        assert f"| {name}" in table
    latents = experiment(tmp_path / "l", source).latents(latents=(2, 128), epochs=1)
    text = latents.read_text(encoding="utf-8")
    assert "| latent 2 |" in text and "| latent 128, the second paper's table 4 |" in text


def test_what_cannot_be_an_experiment_is_said_in_a_sentence(tmp_path, source):
    with pytest.raises(T2IError, match="1 or more"):
        experiment(tmp_path, source).epochs(every=0)
    result = CliRunner().invoke(cli.cli, ["paper", "families", "--judge", "nobody"])
    assert isinstance(result.exception, T2IError) and "nobody" in str(result.exception)
