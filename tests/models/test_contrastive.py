"""The contrastive loss against open_clip's, and a small CLIP from training to `load`."""

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.loss import ClipLoss
from torch.nn.functional import normalize

from t2i_course import models, shipping
from t2i_course.cli import cli
from t2i_course.conditioning import clip
from t2i_course.conditioning.tiny import TinySettings
from t2i_course.contract import Condition, RowGenerator
from t2i_course.data import drawn
from t2i_course.data.parsing import vocabulary
from t2i_course.errors import T2IError
from t2i_course.models.contrastive import TinyClip, contrastive_loss, pairs
from t2i_course.training import engine
from t2i_course.training.settings import OptimizerSettings, TrainSettings

SMALL = TinySettings(image_size=32, width=4, text_width=32, text_layers=1, head_width=32,
                     embed_dim=16)  # fmt: skip


def ids(model: TinyClip, captions: list[str]) -> Condition:
    return Condition.of(model.tokenizer(captions).float())


@settings(max_examples=30, deadline=None)
@given(B=st.integers(1, 9), D=st.integers(1, 6), t=st.floats(-2, 5), seed=st.integers(0, 2**32))
def test_the_loss_and_its_gradients_are_open_clips(B: int, D: int, t: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(B, D, generator=generator, dtype=torch.float64) for _ in range(2)]
    results = []
    for loss_of in (contrastive_loss, ClipLoss()):
        images, texts = (each.clone().requires_grad_() for each in drawn)
        scale = torch.tensor(t, dtype=torch.float64, requires_grad=True)
        loss = loss_of(normalize(images, dim=1), normalize(texts, dim=1), scale.exp())
        loss.backward()
        results.append((loss.detach(), images.grad, texts.grad, scale.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)


def test_a_few_pairs_are_told_apart_after_a_few_steps() -> None:
    """One batch learned by heart."""
    data = drawn.shapes(count=12)
    model = TinyClip(SMALL)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    condition = ids(model, [each[0] for each in data.captions])
    first = last = math.nan
    for step in range(40):
        generator = RowGenerator(0, step, rows=12)
        loss, numbers = model.loss("clip", data.pixels(), condition, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert first > math.log(12) - 1 and last < 0.3
    assert numbers["accuracy"] > 0.9


def test_the_scale_is_learned_and_never_above_100() -> None:
    model = TinyClip(SMALL)
    with torch.no_grad():
        model.towers.logit_scale.fill_(9.0)
    loss, numbers = model.loss(
        "clip", torch.rand(2, 3, 32, 32), ids(model, ["a star", "a cross"]), RowGenerator(0, rows=2)
    )
    assert numbers["scale"].item() == pytest.approx(100)
    loss.backward()
    assert model.towers.logit_scale.grad is not None and model.towers.logit_scale.grad != 0


def test_pictures_of_the_towers_size_are_seen_at_half_of_it_too() -> None:
    """Oracle: a checkerboard of single pixels is flat at half the size, a flat picture is not
    changed; what is prepared of the rows left alone is what a frozen CLIP prepares."""
    model = TinyClip(SMALL)
    board = torch.from_numpy(np.indices((32, 32)).sum(0) % 2).float().expand(64, 3, 32, 32)
    seen = model._seen(board, RowGenerator(0, rows=64))
    flat = seen.std(dim=(2, 3)).amax(1) < 0.2
    assert 16 < flat.sum() < 48
    torch.testing.assert_close(seen[~flat], model.prepare(board)[~flat])
    larger = board.repeat(1, 1, 2, 2)
    torch.testing.assert_close(model._seen(larger, RowGenerator(0, rows=64)), model.prepare(larger))


def test_half_of_the_captions_drawn_say_everything() -> None:
    data = drawn.shapes(count=40)
    model = TinyClip(SMALL)
    trained = pairs(data, model.tokenizer)
    index = torch.arange(40).repeat(20)
    _, condition = trained.batch(index, RowGenerator(0, rows=len(index)))
    texts = [model.tokenizer.decode(row) for row in condition.vector.long().tolist()]
    full = [
        model.tokenizer.decode(model.tokenizer.encode(data.captions[i][0])) for i in index.tolist()
    ]
    share = np.mean([a == b for a, b in zip(texts, full, strict=True)])
    assert 0.45 < share < 0.62  # a few short captions say everything too


def test_the_table_holds_every_word_of_the_grammar_and_is_kept_with_the_settings() -> None:
    model = TinyClip(SMALL)
    assert not [word for word in vocabulary() if model.tokenizer.unknown_words(word)]
    again = models.build("clip", model.settings.to_dict(), seed=1)
    assert again.settings == model.settings
    again.load_state_dict(model.state_dict())


def test_a_run_of_ones_own_loads_as_the_model_that_was_trained(tmp_path) -> None:
    """Oracle: the trained towers themselves."""
    data = drawn.shapes(count=40)
    model = TinyClip(SMALL)
    optimizer = OptimizerSettings(lr=1e-3, muon=1e-3)
    how = TrainSettings(steps=2, batch_size=16, precision="fp32", optimizers={"clip": optimizer})
    run = engine.train(model, pairs(data, model.tokenizer), how, tmp_path, progress=False)
    assert run.finished
    loaded = clip.load("tiny", file=tmp_path / "step-000002")
    captions = [each[1] for each in data.captions[:5]] + ["an unheard-of sneaker"]
    torch.testing.assert_close(loaded.text(captions).vector, model.clip().text(captions).vector)
    torch.testing.assert_close(
        loaded.images(data.pixels(slice(5))), model.clip().images(data.pixels(slice(5)))
    )
    with (tmp_path / "step-000002" / "weights.safetensors").open("ab") as file:
        file.write(b"0")
    with pytest.raises(T2IError, match="SHA-256 differs"):
        clip.load("tiny", file=tmp_path / "step-000002")


@pytest.mark.slow
def test_the_recipe_trains_ships_and_refuses_pictures_without_captions(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("T2I_PROFILE", "smoke")
    small = [
        f"--set={name}={getattr(SMALL, name)}" for name in ("width", "text_width", "head_width")
    ]
    command = ["train", "clip-tiny", "--steps=1", "--batch-size=8", "--precision=fp32", *small]
    how = {"catch_exceptions": False}
    result = CliRunner().invoke(cli, [*command, f"--run={tmp_path / 'run'}"], **how)
    assert result.exit_code == 0 and "Go on with `t2i ship" in result.output
    folder = shipping.ship(tmp_path / "run", "clip-tiny", zoo=tmp_path)
    card = json.loads((folder / "card.json").read_text())
    assert set(card["scores"]) == {
        f"{split}_{way}"
        for split in ("test", "held-out")
        for way in ("caption_to_image", "image_to_caption")
    }
    assert clip.load(file=folder).text(["a star"]).vector.shape == (1, 128)
    with pytest.raises(T2IError, match="learns from captions, and 'sketches' has none"):
        CliRunner().invoke(cli, [*command, "--data=sketches", f"--run={tmp_path / 'no'}"], **how)


def test_sizes_that_do_not_fit_are_an_error() -> None:
    for wrong, message in (
        ({"image_size": 40}, "multiple of 32"),
        ({"width": 6}, "multiple of 4"),
        ({"head_width": 48}, "head_width 48 must divide"),
        ({"embed_dim": 0}, "embed_dim must be from 1"),
    ):
        with pytest.raises(T2IError, match=message):
            TinySettings(**wrong)
