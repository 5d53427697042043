"""The long-text CVAE: the paper's tables from the model itself, and the two ways to join a text."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course.contract import Condition, RowGenerator, T2IError
from t2i_course.data.labelled import LabelledImages
from t2i_course.metrics.cost import parameters
from t2i_course.models.text_cvae import (
    ConcatConv2d,
    TextCVAE,
    TextCVAESettings,
    structure,
)
from t2i_course.training.engine import train
from t2i_course.training.settings import OptimizerSettings, TrainSettings

SMALL = {"image_shape": (3, 32, 32), "latent_dim": 8, "hidden": 64, "condition_dim": 4}
VARIANTS = ({}, {"fusion": "add"}, {"depth": 2}, {"attention": True})
each_variant = pytest.mark.parametrize("own", VARIANTS, ids=str)

TABLE_1 = """
input   | 3 x 224 x 224 + 512 | 515 x 224 x 224
conv1   | 515 x 224 x 224     | 32 x 112 x 112
conv2   | 32 x 112 x 112      | 64 x 56 x 56
conv3   | 64 x 56 x 56        | 128 x 28 x 28
conv4   | 128 x 28 x 28       | 256 x 14 x 14
conv5   | 256 x 14 x 14       | 512 x 7 x 7
flatten | 512 x 7 x 7         | 25088
mu      | 25088               | 128
logvar  | 25088               | 128
"""
# The paper's first line goes from latent_dim + condition_dim to 1024, as its second does: a
# concatenation gives 640, which the second line here has.
TABLE_2 = """
fc1     | 640                 | 1024
fc2     | 1024                | 25088
reshape | 25088               | 512 x 7 x 7
deconv1 | 512 x 7 x 7         | 256 x 14 x 14
deconv2 | 256 x 14 x 14       | 128 x 28 x 28
deconv3 | 128 x 28 x 28       | 64 x 56 x 56
deconv4 | 64 x 56 x 56        | 32 x 112 x 112
deconv5 | 32 x 112 x 112      | 3 x 224 x 224
logits  | 3 x 224 x 224       | 150528
"""


def small(**own) -> TextCVAE:
    return TextCVAE(TextCVAESettings(**{**SMALL, **own}))


def lines(table: str) -> list[tuple[str, ...]]:
    return [tuple(cell.strip() for cell in line.split("|")) for line in table.split("\n")[1:-1]]


def squares() -> LabelledImages:
    """Four colours' squares on white, each in four corners; the colour is the condition."""
    colours = torch.tensor([[220, 30, 30], [30, 160, 60], [40, 60, 220], [20, 20, 20]])
    images = torch.full((16, 3, 32, 32), 240, dtype=torch.uint8)
    for i in range(16):
        x, y = 16 * (i // 4 % 2), 16 * (i // 8)
        images[i, :, y : y + 16, x : x + 16] = colours[i % 4, :, None, None].byte()
    names = ("red", "green", "blue", "black")
    return LabelledImages("squares", "train", images, torch.arange(16) % 4, names, torch.eye(4))


def test_the_papers_tables_come_out_of_the_model_line_by_line():
    model = TextCVAE()
    rows = structure(model)
    assert [row[:3] for row in rows] == lines(TABLE_1) + lines(TABLE_2)
    for name, _, _, operation in rows:
        want = {"conv1": "ConcatConv2d + LeakyReLU", "deconv5": "ConvTranspose2d"}
        for i in range(2, 6):
            want |= {f"conv{i}": "Conv2d + LeakyReLU", f"fc{i - 1}": "Linear + LeakyReLU"}
            want |= {f"deconv{i - 1}": "ConvTranspose2d + LeakyReLU"}
        assert operation == want.get(name, operation), name
    kinds = torch.nn.Conv2d | torch.nn.ConvTranspose2d
    layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
    assert len(layers) == 10 and tuple(layers[0].weight.shape) == (32, 515, 3, 3)
    for layer in layers:
        assert (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (2, 2), (1, 1))


def test_its_loss_and_its_images_are_the_papers_written_out():
    """Oracle: the tables with torch's functions and the concatenated maps, in float64."""
    model = small().double()
    x, c = torch.rand(3, 3, 32, 32).double(), torch.randn(3, 4).double()
    loss, numbers = model.loss("text-cvae", x, Condition.of(c), RowGenerator(5, rows=3))
    p = dict(model.named_parameters())
    h = torch.cat([x, c[:, :, None, None].expand(-1, -1, 32, 32)], 1)
    for i in range(1, 6):
        w, b = p[f"stem.conv{i}.0.weight"], p[f"stem.conv{i}.0.bias"]
        h = F.leaky_relu(F.conv2d(h, w, b, stride=2, padding=1))
    h = h.flatten(1)
    mu = F.linear(h, p["encoder.mu.weight"], p["encoder.mu.bias"])
    logvar = F.linear(h, p["encoder.logvar.weight"], p["encoder.logvar.bias"])
    z = mu + logvar.exp().sqrt() * RowGenerator(5, rows=3).normal(8)
    h = torch.cat([z, c], 1)
    for i in (1, 2):
        h = F.leaky_relu(F.linear(h, p[f"decoder.fc{i}.0.weight"], p[f"decoder.fc{i}.0.bias"]))
    h = h.view(3, 512, 1, 1)
    for i in range(1, 6):
        w, b = p[f"decoder.deconv{i}.0.weight"], p[f"decoder.deconv{i}.0.bias"]
        h = F.conv_transpose2d(h, w, b, stride=2, padding=1, output_padding=1)
        h = F.leaky_relu(h) if i < 5 else torch.sigmoid(h)
    torch.testing.assert_close(model.decode(z, Condition.of(c)), h)
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum() / 3
    bce = F.binary_cross_entropy(h, x, reduction="sum") / 3
    torch.testing.assert_close(loss, bce + kl, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(numbers["kl"], kl, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32))
def test_constant_maps_are_convolved_without_being_made(half_H, half_W, D, seed):
    """Oracle: the convolution of the concatenated tensor: every pixel, edges too, and gradients."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = ConcatConv2d(3, D, 7).double()
        x, c = torch.rand(2, 3, 2 * half_H, 2 * half_W).double(), torch.randn(2, D).double()
        direction = torch.randn(2, 7, half_H, half_W).double()
    inputs = [x.requires_grad_(), c.requires_grad_(), layer.weight, layer.bias]
    maps = c[:, :, None, None].expand(-1, -1, 2 * half_H, 2 * half_W)
    whole = torch.cat([x, maps], dim=1)
    want = F.conv2d(whole, layer.weight, layer.bias, stride=2, padding=1)
    got = layer(x, c)
    torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)
    gradients = [torch.autograd.grad((y * direction).sum(), inputs) for y in (got, want)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


def test_add_puts_the_text_on_conv3s_output_at_every_place():
    model = small(fusion="add")
    x, c = torch.rand(2, 3, 32, 32), torch.randn(2, 4)
    h = model.stem.conv3(model.stem.conv2(model.stem.conv1(x)))
    h = h + (c @ model.stem.text.weight.T + model.stem.text.bias).view(2, 128, 1, 1)
    want = model.stem.conv5(model.stem.conv4(h)).flatten(1)
    torch.testing.assert_close(model.stem(x, c), want)
    assert model.stem.conv1[0].weight.shape == (32, 3, 3, 3)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 64, 96)])
@each_variant
def test_every_variant_takes_and_gives_images_of_its_shape(shape, own):
    model = small(image_shape=shape, **own)
    x, c = torch.rand(2, *shape), Condition.of(torch.randn(2, 4))
    loss, _ = model.loss("text-cvae", x, c, RowGenerator(rows=2))
    loss.backward()
    unused = {name for name, p in model.named_parameters() if p.grad is None}
    assert model.sample(c, RowGenerator(rows=2)).shape == x.shape and unused == set()


def test_the_variants_change_what_they_say_and_no_more():
    """Deeper: nine weights a pair of channels and a bias, once more at each of the five sizes."""
    plain = parameters(small())
    widths = (32, 64, 128, 256, 512)
    assert parameters(small(depth=3)) - plain == 2 * sum(9 * n * n + n for n in widths)
    assert parameters(small(attention=True)) - plain == 2 * 4 * 128**2
    names = [row[0] for row in structure(small(attention=True))]
    assert [names[i - 1] for i, name in enumerate(names) if name == "attention"] == [
        "conv3",
        "deconv2",
    ]


@each_variant
def test_the_condition_reaches_encoder_and_decoder_and_absence_is_the_null(own):
    model = small(drop=0.5, **own)
    torch.nn.init.constant_(model.null, 2.0)
    x, c = torch.rand(1, 3, 32, 32).expand(4, -1, -1, -1), torch.eye(4)
    given_c = Condition.of(c)
    mu = model.encode(x, given_c)[0]
    images = model.decode(torch.zeros(4, 8), given_c).flatten(1)
    assert len(mu.unique(dim=0)) == len(images.unique(dim=0)) == 4
    absent = given_c.drop(torch.tensor([True, False, True, False]))
    by_hand = c.clone()
    by_hand[::2] = 2.0
    torch.testing.assert_close(
        model.encode(x, absent)[0], model.encode(x, Condition.of(by_hand))[0]
    )
    nothing = model.sample(Condition.none(4), RowGenerator(rows=4))
    assert torch.equal(nothing[::2], model.sample(absent, RowGenerator(rows=4))[::2])
    with pytest.raises(T2IError, match="drop=0"):
        small(**own).sample(absent, RowGenerator(rows=4))


def trained(data: LabelledImages, steps: int, **own) -> TextCVAE:
    adam = {"text-cvae": OptimizerSettings(lr=2e-3)}
    training = TrainSettings(steps=steps, batch_size=8, precision="fp32", optimizers=adam)
    return train(small(**own), data, training, progress=False).family


@pytest.mark.slow
def test_it_overfits_one_batch():
    data = squares()[:8]
    x, c = data.batch(torch.arange(8), RowGenerator(rows=8))
    model = trained(data, 200, beta=0.0)
    with torch.no_grad():
        back = model.decode(model.encode(x, c)[0], c)
    assert (back - x).abs().mean() < 0.05


@pytest.mark.slow
def test_it_draws_what_the_condition_says():
    """One place only, so that z has nothing to say: each drawing is its colour's square."""
    data = squares()[:4]
    data = replace(data, images=data.images.repeat(2, 1, 1, 1), labels=data.labels.repeat(2))
    c = data.condition()
    drawn = trained(data, 200).sample(c.repeat(20), RowGenerator(1, rows=160))
    distance = (drawn[:, None] - data.pixels(slice(0, 4))).flatten(2).abs().mean(2)
    labels = data.labels.repeat_interleave(20)
    assert (distance.argmin(1) == labels).float().mean() > 0.9
    assert distance.gather(1, labels[:, None]).mean() < 0.04


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TextCVAESettings(image_shape=(3, 224, 200)), "multiples of 32, not 224 and 200"),
        (lambda: TextCVAESettings(fusion="ad"), "Did you mean 'add'"),
        (lambda: TextCVAESettings(depth=0), "depth must be from 1"),
        (lambda: TextCVAESettings(likelihood="gauss"), "likelihood"),
        (lambda: small().decode(torch.zeros(2, 8), Condition.of(torch.zeros(2, 3))), "size 4"),
        (lambda: small().encode(torch.zeros(2, 3, 64, 64), Condition.none(2)), "images"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_so(make, message):
    with pytest.raises(T2IError, match=message):
        make()
