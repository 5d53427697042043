"""`memory`: what a step takes, counted, and the parts that it is cut into."""

import pytest
import torch
from toys import NormedGAN, ToyGAN, tiny_images

from t2i_course import models
from t2i_course.cli import Gigabytes
from t2i_course.contract import RowGenerator, T2IError
from t2i_course.training import fitting
from t2i_course.training.engine import train
from t2i_course.training.fitting import GB, MARGIN, Need
from t2i_course.training.settings import TrainSettings


def test_the_peak_is_what_lives_at_once() -> None:
    """Closed form: of three megabytes made, two live together; a view and `add_` make nothing."""

    def step() -> None:
        a = torch.zeros(2**18)
        b = a[1:].add_(1)
        del a, b
        c = torch.ones(2**18)
        d = c + 1
        del c, d

    assert fitting.peak_of(step, torch.device("cpu")) == 2 * 2**20


def test_what_backward_needs_is_counted() -> None:
    """Closed form: each tanh keeps its output until its own backward pass is through."""
    x = torch.zeros(2**18, requires_grad=True)

    def step() -> None:
        y = x
        for _ in range(5):
            y = y.tanh()
        y.sum().backward()

    peak = fitting.peak_of(step, torch.device("cpu"))
    assert 6 * 2**20 <= peak <= 8 * 2**20  # five outputs and one or two gradients


@pytest.mark.parametrize("name", ["diffusion", "conv-cvae", "gan"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sixteen_images_tell_what_sixty_four_take(name: str, precision: str) -> None:
    """Oracle: sixty-four, measured."""
    family = models.build(name, {"condition_dim": 3}, 0)
    settings = TrainSettings(steps=1, batch_size=64, ema=0.9)
    data = tiny_images(64, size=28)

    def need(n: int) -> Need:
        batch = data.batch(torch.arange(n), RowGenerator("some", rows=n))
        return fitting.need(family, *batch, settings, precision)

    state = {name: value.clone() for name, value in family.state_dict().items()}
    found = need(16)
    assert found.of(64) == pytest.approx(need(64).of(64), rel=0.05)
    weights = sum(t.nbytes for t in state.values())
    assert found.fixed == pytest.approx(4 * weights, rel=0.01)  # itself, average, two moments
    assert all(torch.equal(value, state[name]) for name, value in family.state_dict().items())
    assert all(p.grad is None for p in family.parameters())


@pytest.mark.parametrize(("memory", "parts"), [(20, 1), (15, 2), (8, 4), (5.9, 8), (4.9, 16)])
def test_the_fewest_parts_that_fit_are_chosen(memory: float, parts: int) -> None:
    found = Need(4 * GB, {"generator": (0.4 * GB, 0.1 * GB), "discriminator": (0.0, 0.8 * GB)})
    assert fitting.micro_batches(found, memory / MARGIN * 0.999, 16) == parts


def test_what_cannot_fit_is_an_error_that_says_how_much_is_missing() -> None:
    with pytest.raises(T2IError, match="takes 5.00 GB with one image at a time, and 4.9 GB"):
        fitting.micro_batches(Need(4 * GB, {"vae": (0.0, 0.5 * GB)}), 4.9, 16)
    with pytest.raises(T2IError, match="BatchNorm"):
        train(
            NormedGAN(), tiny_images(), TrainSettings(steps=1, batch_size=16, memory=1e-5),
            progress=False,
        )  # fmt: skip
    with pytest.raises(T2IError, match="only one of them"):
        TrainSettings(steps=1, memory=8, micro_batches=2)


@pytest.mark.parametrize("name", ["diffusion", "gan"])
def test_a_batch_of_one_image_can_be_asked_for(name: str) -> None:
    """There is no half of it: networks refuse an empty batch."""
    family, data = models.build(name, {"condition_dim": 3}, 0), tiny_images(8, size=28)
    batch = data.batch(torch.arange(1), RowGenerator("one", rows=1))
    found = fitting.need(family, *batch, TrainSettings(steps=1, batch_size=1), "fp32")
    assert found.of(1) > found.fixed


def test_a_training_that_is_cut_to_fit_ends_where_the_whole_one_does(tmp_path, capsys) -> None:
    def settings(**more) -> TrainSettings:
        return TrainSettings(steps=4, batch_size=16, precision="fp32", **more)

    whole = train(ToyGAN(), tiny_images(), settings(), progress=False)
    small = train(ToyGAN(), tiny_images(), settings(memory=9e-6), tmp_path, progress=False)
    said = capsys.readouterr().out
    assert "in 1 part" not in said and "part(s) of" in said
    for name, value in small.family.state_dict().items():
        torch.testing.assert_close(value, whole.family.state_dict()[name], rtol=1e-4, atol=1e-6)
    again = train(ToyGAN(), tiny_images(), settings(), tmp_path, progress=False)  # the same run
    assert again.finished


@pytest.mark.parametrize(("text", "value"), [("8GB", 8), ("8", 8), ("512 MiB", 0.5), ("1.5g", 1.5)])
def test_memory_is_read_in_the_forms_that_people_write(text: str, value: float) -> None:
    assert Gigabytes().convert(text, None, None) == value
