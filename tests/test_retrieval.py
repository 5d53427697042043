"""Retrieval among drawn scenes, and that the CLIP which ships is as good as its card says."""

import json
from types import SimpleNamespace

import pytest
import torch

from t2i_course import retrieval, runs
from t2i_course.conditioning import clip
from t2i_course.contract import Condition
from t2i_course.data.claims import verdict
from t2i_course.data.parsing import parse
from t2i_course.data.shapes import SPLITS


@pytest.mark.parametrize("split", SPLITS)
def test_a_pool_has_different_captions_each_true_of_its_own_picture(split) -> None:
    """Oracle: the parser of captions."""
    pool = retrieval.pool(60, split)
    said = {tuple(sorted(map(repr, parse(text).things))) for text in pool.captions}
    assert len(said) == len(pool.images) == 60 and pool.images.shape == (60, 3, 32, 32)
    assert pool.right.diagonal().all()
    assert pool.right.float().mean() < 0.1  # another picture seldom fits too
    assert verdict(parse(pool.captions[0]), None).all is False


def test_a_clip_that_knows_the_answers_finds_them_all_and_one_that_does_not_none() -> None:
    pool = retrieval.pool(20)

    def answers(vectors: torch.Tensor) -> SimpleNamespace:
        text = Condition.of(vectors)
        return SimpleNamespace(name="", text=lambda _: text, images=lambda _: torch.eye(20))

    assert retrieval.retrieve(answers(torch.eye(20)), pool) == (1, 1)
    # Caption i has the embedding of picture i + 1: right only where that picture fits too.
    by_chance = pool.right.roll(-1, 1).diagonal().float().mean().item()
    found, _ = retrieval.retrieve(answers(torch.eye(20).roll(1, 1)), pool)
    assert found == pytest.approx(by_chance) and by_chance < 0.2


@pytest.mark.slow
def test_the_clip_that_ships_retrieves_as_its_card_says() -> None:
    card = json.loads((runs.ZOO / "clip-tiny" / "card.json").read_text())
    loaded = clip.load()
    assert loaded.context >= 54 and loaded.dim == loaded.token_dim == 128
    for name, value in retrieval.scores(loaded).items():
        assert value == pytest.approx(card["scores"][name], abs=0.02)
    assert min(retrieval.retrieve(loaded, retrieval.pool())) >= 0.95


def test_synonyms_are_near_and_a_slip_of_the_pen_is_understood() -> None:
    """What an embedding must know: the same words said otherwise are nearer than other things."""
    loaded = clip.load()
    captions = [
        "a large red star", "a big crimson star", "a large red circel", "a large red circle",
        "a large blue circle",
    ]  # fmt: skip
    vector = loaded.text(captions).vector
    cos = vector @ vector.T
    assert cos[0, 1] > cos[0, 3] and cos[0, 1] > 0.9
    assert cos[2, 3] > cos[2, 4]
