"""Priors: what each learns, and the way from a sentence through one to a picture."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from click.testing import CliRunner

from t2i_course import cli, runs, shipping, texts
from t2i_course.conditioning import clip
from t2i_course.conditioning.keywords import Keywords
from t2i_course.contract import Condition, RowGenerator, T2IError
from t2i_course.data import augment, drawn, fashion
from t2i_course.models.prior import KINDS, Embeddings, Prior, PriorSettings, PriorText, as_images

SHARE = 0.75  # of the pictures of one sentence that lie at e, the others at -e


def fitted(kind: str) -> Prior:
    """A prior of a world with one sentence, whose pictures are of two kinds."""
    prior = Prior(PriorSettings(condition_dim=4, kind=kind, width=64))
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)
    e = torch.tensor([1.0, 0, 0, 0])
    for step in range(1000):
        generator = RowGenerator("two", step, rows=128)
        sign = torch.where(generator.uniform() < SHARE, 1.0, -1.0)[:, None]
        condition = Condition.of(torch.ones(128, 4) / 2)
        loss, _ = prior.loss("prior", as_images(sign * e), condition, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        fall.step()
    return prior


def test_a_regression_answers_with_the_mean_and_diffusion_with_either_picture():
    y = torch.ones(400, 4) / 2
    noise = RowGenerator("noise", rows=400).normal(4)
    mean = fitted("regression").guess(y, noise)
    torch.testing.assert_close(
        mean, torch.tensor([2 * SHARE - 1, 0, 0, 0]).expand(400, 4), atol=0.1, rtol=0
    )
    x = fitted("diffusion").guess(y, noise)
    assert (x[:, 0].abs() > 0.8).float().mean() > 0.9  # and hardly any between the two
    assert (x[:, 1:].abs() < 0.2).all()
    assert (x[:, 0] > 0).float().mean() == pytest.approx(SHARE, abs=0.1)


def test_a_network_that_knows_the_picture_gives_it_back():
    prior = Prior(PriorSettings(condition_dim=4))
    x = torch.nn.functional.normalize(RowGenerator("x", rows=8).normal(4))
    noise = RowGenerator("noise", rows=8).normal(4)
    prior._clean = lambda x_t, t, y: 2 * x  # √D x, D being 4
    torch.testing.assert_close(prior.guess(x, noise), x)


@pytest.mark.parametrize("kind", KINDS)
def test_a_caption_is_always_the_same_condition_whatever_stands_beside_it(kind):
    reader = PriorText(Prior(PriorSettings(kind=kind), seed=1), clip.load())
    both = reader.text(["a red circle", "a blue star"]).vector
    torch.testing.assert_close(reader.text(["a blue star"]).vector, both[1:])
    assert not torch.allclose(both[0], both[1])
    other = PriorText(Prior(PriorSettings(kind=kind), seed=2), clip.load())
    assert reader.sha256 != other.sha256 != clip.load().sha256
    # What is trained on is the CLIP's: its models judge none that was trained through the prior.
    assert reader.encoder().sha256 == other.encoder().sha256 == clip.load().sha256


def test_who_is_trained_sees_the_pictures_own_embeddings():
    tiny, few = clip.load(), drawn.mixed("train", 0.001)
    encoder = PriorText(Prior(), tiny).encoder()
    images, condition = replace(few, encoder=encoder).batch(
        torch.arange(5), RowGenerator("batch", rows=5)
    )
    torch.testing.assert_close(condition.vector, tiny.images(images))
    pictures = Embeddings(replace(few, encoder=tiny.encoder(False)), tiny)
    x, condition = pictures.batch(torch.arange(5), RowGenerator("batch", rows=5))
    torch.testing.assert_close(2 * x.flatten(1) - 1, tiny.images(images))
    said = [one for one in few.captions[0] if torch.allclose(
        tiny.text([one]).vector, condition.vector[:1], atol=1e-5)]  # fmt: skip
    assert said  # one of the first picture's own


def test_a_prior_is_trained_and_drawn_through_by_three_commands(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))
    monkeypatch.setenv("T2I_PROFILE", "smoke")

    def t2i(*words: str) -> str:
        done = CliRunner().invoke(cli.cli, words, standalone_mode=False)
        assert done.exception is None, (words, done.exception)
        return done.output

    assert "t2i train diffusion-shapes --text" in t2i("train", "prior-shapes", "--steps", "2")
    small = ("--set", "widths=[16,32]", "--steps", "2", "--batch-size", "8")
    t2i("train", "diffusion-shapes", "--text", "prior-shapes", *small)
    picture = tmp_path / "picture.png"
    t2i("sample", str(tmp_path / "diffusion-shapes"), "--prompt", "a star", "--out", str(picture))
    assert picture.is_file()
    reader = runs.load_text(tmp_path / "diffusion-shapes")
    assert isinstance(reader, PriorText)
    assert runs.load(tmp_path / "diffusion-shapes").settings.token_dim == 0
    # Another prior of the same CLIP may take its place.
    t2i("train", "prior-shapes", "--steps", "2", "--seed", "1", "--run", str(tmp_path / "other"))
    (tmp_path / "prior-shapes").rename(tmp_path / "gone")
    with pytest.raises(T2IError, match="`t2i train prior-shapes` makes"):
        runs.load_text(tmp_path / "diffusion-shapes")
    (tmp_path / "other").rename(tmp_path / "prior-shapes")
    other = runs.load_text(tmp_path / "diffusion-shapes")
    given = [one.encoder()(["a star"]).vector for one in (reader, other, clip.load())]
    assert not any(torch.allclose(a, b, atol=0.01) for a, b in combinations(given, 2))
    for run in ("prior-shapes", "diffusion-shapes"):
        with pytest.raises(T2IError, match="a text model that does not ship"):
            shipping.ship(tmp_path / run, "mine", zoo=tmp_path / "zoo")


def test_what_is_no_prior_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path))
    with pytest.raises(T2IError, match="`t2i train prior-shapes` makes"):
        texts.load("prior-shapes")
    few = drawn.mixed("train", 0.001)
    with pytest.raises(T2IError, match="A prior takes a CLIP"):
        runs.data_for(Prior(), few, Keywords(["red"]))
    with pytest.raises(T2IError, match="leave out --augment"):
        runs.data_for(Prior(), few, clip.load(), augment.parse("flip"))
    with pytest.raises(T2IError, match="A prior learns from captions"):
        runs.data_for(Prior(), fashion.load("train", "sketches", limit=10))
    with pytest.raises(T2IError, match="This prior is of 4 numbers"):
        PriorText(Prior(PriorSettings(condition_dim=4)), clip.load())
    with pytest.raises(T2IError, match="regression"):
        PriorSettings(kind="regresion")
    with pytest.raises(T2IError, match="no CLIP and cannot look at pictures"):
        clip.clip_of(Keywords(["red"]))
