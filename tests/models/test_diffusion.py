"""The diffusion family: its loss written out, what guidance costs, and that it learns."""

import pytest
import torch
from toys import tiny_images

from t2i_course import models
from t2i_course.contract import Condition, RowGenerator, T2IError
from t2i_course.diffusion.samplers import SAMPLERS
from t2i_course.models.diffusion import Diffusion, DiffusionSettings, SampleSettings
from t2i_course.training.engine import train
from t2i_course.training.settings import OptimizerSettings, TrainSettings

TINY = {"image_shape": (1, 4, 4), "condition_dim": 3, "widths": (16,), "attention": False}


def tiny(**own) -> Diffusion:
    return Diffusion(DiffusionSettings(**{**TINY, **own}))


def batch(n: int) -> tuple[torch.Tensor, Condition]:
    return tiny_images(n).batch(torch.arange(n), RowGenerator(rows=n))


class Recorder(torch.nn.Module):
    """In the network's place: says the number of the class, 0 for none; keeps what it saw."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x_t, t, condition):
        self.calls.append((x_t, t, condition))
        label = condition.vector.argmax(1) + 1 if condition.vector is not None else 0
        return torch.ones_like(x_t) * (label * condition.present).view(-1, 1, 1, 1)


def recorded(**own) -> tuple[Diffusion, Recorder]:
    model = tiny(**own)
    model.unet = Recorder()
    model.register_parameter("place", torch.nn.Parameter(torch.zeros(1)))
    return model, model.unet


def test_the_loss_is_the_flows_written_out():
    model, seen = recorded(drop=0.0, predicts="velocity", weights="none")
    images, condition = batch(6)
    loss, _ = model.loss("unet", images, condition, RowGenerator(3, rows=6))
    generator = RowGenerator(3, rows=6)
    generator.uniform()  # who is dropped
    t, eps = torch.sigmoid(generator.normal()), generator.normal(1, 4, 4)
    x_0 = 2 * images - 1
    x_t, t_seen, _ = seen.calls[0]
    torch.testing.assert_close(t_seen, t)
    torch.testing.assert_close(x_t, torch.lerp(x_0, eps, t.view(-1, 1, 1, 1)))
    out = (condition.vector.argmax(1) + 1).view(-1, 1, 1, 1)
    torch.testing.assert_close(loss, ((out - (eps - x_0)) ** 2).mean())


def test_an_error_in_data_is_weighed_as_one_in_velocity_and_nothing_is_whiter_than_white():
    """The recorder says 1, 2 or 3: right for white pixels, and too much for all others."""
    model, seen = recorded(drop=0.0)
    images, condition = batch(6)
    images[:, :, :2] = 1
    loss, _ = model.loss("unet", images, condition, RowGenerator(3, rows=6))
    t = seen.calls[0][1]
    out = (condition.vector.argmax(1) + 1).view(-1, 1, 1, 1)
    error = torch.where(images == 1, 0, (out - (2 * images - 1)) ** 2).mean(dim=(1, 2, 3))
    torch.testing.assert_close(loss, (error / t.clamp(min=0.05) ** 2).mean())
    assert (model.predict(images, t, condition) == 1).all()


def test_black_that_is_not_black_enough_costs():
    model = tiny(drop=0.0)  # a fresh network says 0
    images, condition = torch.zeros(6, 1, 4, 4), Condition.of(torch.eye(3)).repeat(2)
    loss, _ = model.loss("unet", images, condition, RowGenerator(3, rows=6))
    loss.backward()
    assert loss > 0 and model.unet.last.weight.grad.abs().sum() > 0


def test_a_share_of_the_conditions_is_hidden_in_training():
    model, seen = recorded(drop=0.25)
    images, condition = batch(400)
    model.loss("unet", images, condition, RowGenerator(3, rows=400))
    assert 0.18 < 1 - seen.calls[0][2].present.float().mean() < 0.32


def test_guidance_costs_a_second_row_inside_its_interval_only():
    model, seen = recorded(predicts="velocity", weights="none")
    condition = Condition.of(torch.eye(3))
    settings = SampleSettings(sampler="euler", steps=4, w=3.0, interval=(0.3, 0.8))
    walk = []
    model.sample(condition, RowGenerator(0, rows=3), settings,
                 watch=lambda t, x_t, x_0: walk.append((t, x_t, x_0)))  # fmt: skip
    assert [(round(float(t[0]), 2), len(t)) for _, t, _ in seen.calls] == [
        (1.0, 3), (0.75, 6), (0.5, 6), (0.25, 3)
    ]  # fmt: skip
    for (t, x_t, x_0), w in zip(walk, [1, 3, 3, 1], strict=True):
        velocity = w * torch.tensor([1.0, 2.0, 3.0]).view(-1, 1, 1, 1)  # null says 0
        torch.testing.assert_close(x_0, x_t - t * velocity)


def test_the_weak_network_learns_from_every_fourth_row_and_guides_without_a_second_row():
    model, seen = recorded(weak=(8,), drop=0.0)
    model.weak = Recorder()
    images, condition = batch(8)
    losses = [model.loss(name, images, condition, RowGenerator(3, rows=8))[0] for name in
              model.networks]  # fmt: skip
    assert list(model.networks) == ["unet", "weak"] and not losses[0].isclose(losses[1])
    (x_t, t, _), (x_t_weak, t_weak, condition_weak) = seen.calls.pop(), model.weak.calls.pop()
    assert x_t[::4].equal(x_t_weak) and t[::4].equal(t_weak) and len(condition_weak) == 2
    settings = SampleSettings(steps=2, w=3.0, guide="weak", interval=(0.0, 0.8))
    model.sample(Condition.of(torch.eye(3)), RowGenerator(0, rows=3), settings)
    assert [len(t) for _, t, _ in seen.calls] == [3, 3]
    assert [len(t) for _, t, _ in model.weak.calls] == [3]  # inside the interval only


def test_who_has_no_weak_network_is_told_so():
    with pytest.raises(T2IError, match="no weak network"):
        tiny().sample(Condition.none(2), RowGenerator(0, rows=2), SampleSettings(guide="weak"))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(("path", "predicts"), [("flow", "velocity"), ("linear", "noise")])
def test_every_sampler_draws_images_that_depend_on_the_row_alone(name, path, predicts):
    model, condition = tiny(path=path, predicts=predicts), Condition.of(torch.eye(3)).repeat(14)
    settings = SampleSettings(sampler=name, steps=5, w=2.0, clip=True)
    whole = model.sample(condition, RowGenerator(5, rows=42), settings)
    assert whole.shape == (42, 1, 4, 4) and whole.min() >= 0 and whole.max() <= 1
    part = model.sample(condition[10:42], RowGenerator(5, rows=range(10, 42)), settings)
    torch.testing.assert_close(whole[10:], part, rtol=0, atol=1e-5)


def test_it_learns_two_pictures_and_which_label_means_which():
    pictures = torch.zeros(2, 1, 4, 4)
    pictures[0, :, :2], pictures[1, :, 2:] = 1, 1
    data = tiny_images(256, classes=3)
    object.__setattr__(data, "images", (255 * pictures[data.labels % 2]).to(torch.uint8))
    model = tiny()
    optimizer = OptimizerSettings(lr=3e-3, clip=1.0, warmup=10, schedule="cosine")
    train(model, data, TrainSettings(steps=400, batch_size=64, optimizers={"unet": optimizer},
                                     precision="fp32"), progress=False)  # fmt: skip
    condition = Condition.of(torch.eye(3)[:2]).repeat(20)
    drawn = model.sample(condition, RowGenerator(1, rows=40), SampleSettings(steps=6))
    want = pictures.repeat_interleave(20, dim=0)
    assert (drawn - want).abs().mean() < 0.1


@pytest.mark.parametrize(("own", "message"), [
    ({"widths": ()}, "widths"),
    ({"widths": (8, 8, 8)}, "multiples of 8"),
    ({"weak": (8, 8)}, "as many widths"),
    ({"weak": (0,)}, "weak must be"),
    ({"path": "linar"}, "linear"),
    ({"predicts": "score"}, "velocity"),
    ({"weights": "snr"}, "min-snr"),
    ({"times": "normal"}, "logit-normal"),
    ({"shift": 0.0}, "shift must"),
    ({"path": "linear", "shift": 3.0}, "T = 1000 fixed"),
    ({"drop": 2.0}, "drop"),
])  # fmt: skip
def test_wrong_settings_say_what_is_right(own, message):
    with pytest.raises(T2IError, match=message):
        DiffusionSettings(**{**TINY, **own})


@pytest.mark.parametrize(("own", "message"), [
    ({"sampler": "hoin"}, "heun"),
    ({"guide": "week"}, "weak"),
    ({"steps": 0}, "steps"),
    ({"w": -1.0}, "w must"),
    ({"interval": (0.8, 0.2)}, "interval"),
    ({"precision": "fp16"}, "bf16"),
])  # fmt: skip
def test_wrong_sampling_says_what_is_right(own, message):
    with pytest.raises(T2IError, match=message):
        SampleSettings(**own)


def test_its_settings_survive_json():
    model = tiny(widths=(8, 16), attention=True)
    again = models.build("diffusion", model.settings.to_dict() | {"widths": [8, 16]})
    assert again.settings == model.settings
