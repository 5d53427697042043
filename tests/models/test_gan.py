"""The GAN: losses, penalties and norms against closed forms, and the game in the engine."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import tiny_images

from t2i_course.contract import Condition, RowGenerator, T2IError
from t2i_course.data.labelled import LabelledImages
from t2i_course.metrics.cost import parameters
from t2i_course.models.gan import (
    GAN,
    ConditionalBatchNorm2d,
    GANSettings,
    SampleSettings,
    SpectralNorm,
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
    non_saturating_discriminator,
    non_saturating_generator,
    r1_penalty,
    truncate,
)
from t2i_course.training.engine import batch_indices, train
from t2i_course.training.settings import OptimizerSettings, TrainSettings

TINY = {
    "image_shape": (1, 4, 4), "latent_dim": 3, "condition_dim": 3,
    "generator_width": 4, "discriminator_width": 4,
}  # fmt: skip
logits = st.lists(st.floats(-30, 30), min_size=1, max_size=5)


def tiny_gan(**own) -> GAN:
    return GAN(GANSettings(**{**TINY, **own}))


def batch(n: int) -> tuple[torch.Tensor, Condition]:
    return tiny_images(n).batch(torch.arange(n), RowGenerator(rows=n))


@settings(deadline=None)
@given(logits, logits)
def test_the_losses_are_those_of_the_papers(real, fake):
    real, fake = torch.tensor(real).double(), torch.tensor(fake).double()
    is_real, is_fake = torch.ones_like(real), torch.zeros_like(fake)
    cross_entropy = F.binary_cross_entropy_with_logits
    want = cross_entropy(real, is_real) + cross_entropy(fake, is_fake)
    torch.testing.assert_close(non_saturating_discriminator(real, fake), want)
    want = -torch.log(torch.special.expit(fake)).mean()
    torch.testing.assert_close(non_saturating_generator(fake), want)
    by_hand = sum(max(0, 1 - d) for d in real.tolist()) / len(real)
    by_hand += sum(max(0, 1 + d) for d in fake.tolist()) / len(fake)
    torch.testing.assert_close(hinge_discriminator(real, fake).item(), by_hand)
    torch.testing.assert_close(hinge_generator(fake).item(), -sum(fake.tolist()) / len(fake))


def test_the_penalties_of_a_linear_discriminator_follow_from_its_weight():
    """Oracle: D(x) = w·x has the gradient w everywhere: ½ ‖w‖² and (‖w‖ − 1)²."""
    w = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    x, x_fake, u = (*torch.randn(2, 7, 2).double().unbind(), torch.rand(7).double())
    r1 = r1_penalty(lambda x: x @ w, x)
    torch.testing.assert_close(r1.item(), 12.5)
    torch.testing.assert_close(torch.autograd.grad(r1, w)[0], w.detach())
    gradient = gradient_penalty(lambda x: x @ w, x, x_fake, u)
    torch.testing.assert_close(gradient.item(), 16.0)
    torch.testing.assert_close(torch.autograd.grad(gradient, w)[0], 2 * 4 * w.detach() / 5)


def test_each_penalty_looks_at_its_own_points():
    """Oracle: D(x) = ½ x² has the gradient x, so a penalty says where it was taken."""
    real, fake, u = torch.tensor([[2.0]]), torch.tensor([[6.0]]), torch.tensor([0.75])
    half_square = lambda x: 0.5 * x.square().sum(1)  # noqa: E731
    assert r1_penalty(half_square, real).item() == 2.0
    torch.testing.assert_close(gradient_penalty(half_square, real, fake, u).item(), 4.0)


def test_spectral_norm_divides_by_the_largest_singular_value():
    """Oracle: torch.linalg, for the weight and for the gradient through the norm."""
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    norm = SpectralNorm(weight).double()
    for _ in range(200):
        norm(weight)
    weight.requires_grad_()
    direction = torch.randn_like(weight)
    (gradient,) = torch.autograd.grad((norm(weight) * direction).sum(), weight)
    exact = weight / torch.linalg.matrix_norm(weight.flatten(1), 2)
    torch.testing.assert_close(norm(weight), exact)
    want = torch.autograd.grad((exact * direction).sum(), weight)[0]
    torch.testing.assert_close(gradient, want)
    u = norm.eval().u.clone()
    norm(2 * weight.roll(1))
    assert torch.equal(norm.u, u)


def test_every_layer_of_a_spectral_discriminator_is_normed():
    model = tiny_gan(spectral_norm=True)
    x, c = batch(8)
    for step in range(100):
        model.loss("discriminator", x, c, RowGenerator(step, rows=8))
    layers = [m for m in model.discriminator.modules() if isinstance(m, torch.nn.Conv2d)]
    layers += [m for m in model.discriminator.modules() if isinstance(m, torch.nn.Linear)]
    assert len(layers) == 7
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        torch.testing.assert_close(largest.item(), 1.0, atol=0.02, rtol=0)


def test_conditional_batch_norm_is_torchs_with_the_affine_of_each_class():
    norm, labels = ConditionalBatchNorm2d(5, 3), torch.tensor([0, 2, 1, 0])
    x = torch.randn(4, 5, 2, 2)
    for training in (True, False):
        y = norm.train(training)(x, F.one_hot(labels, 3).float())
        for k in range(3):
            plain = torch.nn.BatchNorm2d(5).train(training)
            plain.load_state_dict(
                {
                    "weight": norm.scale.weight[:, k] + norm.scale.bias,
                    "bias": norm.shift.weight[:, k] + norm.shift.bias,
                },
                strict=False,
            )
            if not training:
                plain.running_mean, plain.running_var = (
                    norm.norm.running_mean,
                    norm.norm.running_var,
                )
            torch.testing.assert_close(y[labels == k], plain(x)[labels == k])


def test_the_discriminator_projects_the_condition_on_its_features():
    """Miyato and Koyama 2018, eq. 5, written out; an absent condition has a vector of its own."""
    D, x = tiny_gan().discriminator, torch.randn(3, 1, 4, 4)
    y = torch.tensor([[1.0, 0, 0, 0], [0, 0.5, 2, 0], [0, 0, 0, 1]])
    phi, V = D.features(x), D.projection.weight
    psi = (phi * D.head.weight[0]).sum(1) + D.head.bias
    embedded = torch.stack([V[:, 0], 0.5 * V[:, 1] + 2 * V[:, 2], V[:, 3]])
    torch.testing.assert_close(D(x, y), psi + (embedded * phi).sum(1))
    blind = tiny_gan(projection=False).discriminator
    assert torch.equal(blind(x, y), blind(x, y.roll(1, 0)))


def test_an_absent_condition_hides_its_vector_or_is_an_error():
    model = tiny_gan(drop=0.5).eval()
    vectors = Condition.of(torch.eye(3))
    absent = vectors.drop(torch.tensor([True, False, True]))
    images = model.sample(absent, RowGenerator(rows=3))
    assert torch.equal(images[::2], model.sample(Condition.none(3), RowGenerator(rows=3))[::2])
    assert torch.equal(images[1], model.sample(vectors, RowGenerator(rows=3))[1])
    assert not torch.equal(images[0], model.sample(vectors, RowGenerator(rows=3))[0])
    with pytest.raises(T2IError, match="drop=0"):
        tiny_gan(drop=0.0).sample(absent, RowGenerator(rows=3))


def test_dropped_conditions_train_the_null():
    rows = [-1, 0]  # the null's and a label's weights: last and first column
    for drop, moved in ((0.0, False), (1.0, True)):
        model = tiny_gan(drop=drop)
        before = model.discriminator.projection.weight[:, rows].detach().clone()
        training = TrainSettings(steps=2, batch_size=16, precision="fp32")
        train(model, tiny_images(), training, progress=False)
        null, label = (model.discriminator.projection.weight[:, rows] != before).any(0).tolist()
        assert (null, label) == (moved, not moved)


@pytest.mark.parametrize("loss", ["non-saturating", "hinge"])
@pytest.mark.parametrize("drop", [0.0, 1.0])
def test_mismatched_pairs_are_real_images_with_a_neighbours_condition(loss, drop):
    """Oracle: Reed et al. 2016, algorithm 1, row by row: a neighbour's condition that is the row's
    own, or where either is absent, makes no wrong pair; a dropped one is still known to be wrong.
    """
    one, two, three = torch.eye(3)
    present = torch.tensor([True, True, True, True, False, True])
    c = Condition(present, torch.stack([one, one, two, one, two, three]))
    x = tiny_images(6).pixels()
    model = tiny_gan(mismatched=0.25, drop=drop, loss=loss, penalty="none")
    found, _ = model.loss("discriminator", x, c, RowGenerator(2, rows=6))
    label = F.pad(c.vector * present[:, None], (0, 1))
    label[4] = torch.tensor([0, 0, 0, 1.0])
    y = torch.tensor([[0, 0, 0, 1.0]]).expand(6, -1) if drop else label
    fake = model.generator(RowGenerator(2, rows=6).normal(3), y)
    says = model.discriminator
    refuse = (lambda d: F.relu(1 + d)) if loss == "hinge" else F.softplus
    want = 0.0
    for i in range(6):
        row = slice(i, i + 1)
        rejected = refuse(says(fake[row], y[row]))
        wrong = rejected if i in (1, 4, 5) else refuse(says(2 * x[row] - 1, label[i - 1][None]))
        want += refuse(-says(2 * x[row] - 1, y[row])) + 0.75 * rejected + 0.25 * wrong
    torch.testing.assert_close(found, want[0] / 6)


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 32, 32), (3, 64, 64), (1, 12, 20)])
def test_colours_other_sizes_and_a_sentences_vector_go_in_and_come_out(shape):
    model = GAN(GANSettings(image_shape=shape, condition_dim=128, mismatched=0.5))
    condition = Condition.of(F.normalize(torch.randn(4, 128), dim=1))
    for name, network in model.networks.items():
        loss, _ = model.loss(name, torch.rand(4, *shape), condition, RowGenerator(rows=4))
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())
        network.zero_grad()
    images = model.sample(condition, RowGenerator(rows=4))
    assert images.shape == (4, *shape) and images.min() >= 0 and images.max() <= 1
    others = model.sample(Condition.of(condition.vector.roll(1, 0)), RowGenerator(rows=4))
    assert (images - others).flatten(1).abs().amax(1).min() > 1e-3


@settings(deadline=None)
@given(st.lists(st.floats(-6, 6), min_size=2, max_size=6), st.floats(0.05, 3))
def test_truncated_latents_stay_inside_and_in_order(values, limit):
    z = torch.tensor(sorted(values))
    cut = truncate(z, limit)
    assert cut.abs().max() <= limit and (cut.diff() >= 0).all()
    torch.testing.assert_close(truncate(z, 30.0), z, atol=1e-4, rtol=0)


def test_truncated_latents_have_the_spread_of_the_truncated_normal():
    """Oracle: the variance of N(0, 1) within ± t is 1 − 2 t φ(t) / (2 Φ(t) − 1)."""
    z, t = RowGenerator(0, rows=200_000).normal(), 0.7
    density = math.exp(-t * t / 2) / math.sqrt(2 * math.pi)
    want = 1 - 2 * t * density / math.erf(t / math.sqrt(2))
    torch.testing.assert_close(truncate(z, t).var().item(), want, rtol=0.01, atol=0)


def test_an_image_depends_on_its_row_alone_and_drawing_changes_nothing():
    model = tiny_gan()
    train(
        model, tiny_images(), TrainSettings(steps=3, batch_size=16, precision="fp32"),
        progress=False,
    )  # fmt: skip
    before = {name: value.clone() for name, value in model.train().state_dict().items()}
    condition = Condition.of(torch.eye(3)).repeat(20)
    images = model.sample(condition, RowGenerator(1, rows=60))
    assert images.shape == (60, 1, 4, 4) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    parts = [
        model.sample(condition[slice(rows.start, rows.stop)], RowGenerator(1, rows=rows))
        for rows in (range(25), range(25, 60))
    ]
    torch.testing.assert_close(torch.cat(parts), images)
    narrow = model.sample(condition, RowGenerator(1, rows=60), SampleSettings(truncation=1e-6))
    assert narrow[:20].std(0).max() < 1e-4 < images[:20].std(0).max()
    assert model.generator.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("penalty", ["r1", "gradient"])
def test_the_penalty_is_of_every_kth_row_and_in_float32(penalty):
    # Not 4x4: on a map of one pixel oneDNN leaves some of a bfloat16 kernel's gradient unwritten.
    x, c = tiny_images(8, size=8).batch(torch.arange(8), RowGenerator(rows=8))
    model = tiny_gan(image_shape=(1, 8, 8), penalty=penalty, penalty_every=3, drop=0.0)
    y = torch.cat([c.vector, torch.zeros(8, 1)], 1)
    generator = RowGenerator(1, rows=8)
    x_fake = model.generator(generator.normal(3), y).detach()
    D = lambda x: model.discriminator(x, y[::3])  # noqa: E731
    want = (
        r1_penalty(D, 2 * x[::3] - 1)
        if penalty == "r1"
        else gradient_penalty(D, 2 * x[::3] - 1, x_fake[::3], generator.uniform()[::3])
    )
    for bf16 in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, numbers = model.loss("discriminator", x, c, RowGenerator(1, rows=8))
        loss.backward()
        assert numbers["penalty"].dtype == torch.float32
        torch.testing.assert_close(numbers["penalty"], want, rtol=1e-2 if bf16 else 1e-5, atol=1e-6)
        assert all(torch.isfinite(p.grad).all() for p in model.discriminator.parameters())


def test_a_step_is_the_discriminators_update_and_then_the_generators():
    """Oracle: the two updates by hand. Neither loss moves the other's network."""
    training = TrainSettings(
        steps=1, batch_size=16, precision="fp32",
        optimizers={"discriminator": OptimizerSettings(lr=0.1), "generator": OptimizerSettings()},
    )  # fmt: skip
    data, played = tiny_images(), tiny_gan(penalty="none", drop=0.0)
    train(played, data, training, progress=False)
    by_hand = tiny_gan(penalty="none", drop=0.0)
    x, c = data.batch(batch_indices(0, 0, 16, len(data)), RowGenerator(rows=16))
    y = torch.cat([c.vector, torch.zeros(16, 1)], 1)
    for name, lr in (("discriminator", 0.1), ("generator", 1e-3)):
        optimizer = torch.optim.AdamW(by_hand.networks[name].parameters(), lr, weight_decay=0.0)
        by_hand.zero_grad()
        drawn = by_hand.generator(RowGenerator(0, 0, name, rows=16).normal(3), y)
        if name == "generator":
            non_saturating_generator(by_hand.discriminator(drawn, y)).backward()
        else:
            real = by_hand.discriminator(2 * x - 1, y)
            fake = by_hand.discriminator(drawn.detach(), y)
            non_saturating_discriminator(real, fake).backward()
        optimizer.step()
    for (name, value), want in zip(
        played.state_dict().items(), by_hand.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(value, want, atol=2e-4, rtol=0, msg=name)


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"loss": "hinge", "spectral_norm": True, "penalty": "none"},
        {"condition_dim": 16, "mismatched": 0.5},
    ],
)
def test_it_learns_to_draw_what_each_label_means(kind):
    """Three pictures, one for each label, with some noise: the samples are near their own. The
    label is one-hot, or a dense vector as a sentence has."""
    pictures = torch.zeros(3, 1, 4, 4)
    pictures[0, 0, :2], pictures[1, 0, :, :2], pictures[2, 0, 1:3, 1:3] = 1, 1, 1
    labels = torch.arange(300) % 3
    noise = 50 * torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    images = (180 * pictures[labels] + noise).byte()
    vectors = torch.eye(3)
    if "condition_dim" in kind:
        dense = torch.randn(3, 16, generator=torch.Generator().manual_seed(2))
        vectors = F.normalize(dense, dim=1)
    data = LabelledImages("three", "train", images, labels, ("a", "b", "c"), vectors)
    own = OptimizerSettings(lr=4e-3, betas=(0.0, 0.99))
    model = tiny_gan(generator_width=8, discriminator_width=8, **kind)
    training = TrainSettings(
        steps=250, batch_size=32, precision="fp32",
        optimizers={name: own for name in model.networks},
    )  # fmt: skip
    train(model, data, training, progress=False)
    drawn = model.sample(data.condition(labels), RowGenerator(5, rows=300))
    centres = (180 * pictures + 25) / 255
    distances = (drawn[:, None] - centres).flatten(2).norm(dim=2)
    assert (distances.argmin(1) == labels).float().mean() > 0.95
    assert distances.gather(1, labels[:, None]).mean() < 0.8


def test_micro_batches_are_refused_since_batch_norm_sees_the_batch():
    training = TrainSettings(steps=1, batch_size=16, micro_batches=4, precision="fp32")
    with pytest.raises(T2IError, match="BatchNorm"):
        train(tiny_gan(), tiny_images(), training, progress=False)


def test_it_has_about_a_million_parameters_half_of_them_in_each_network():
    counts = [parameters(network) for network in GAN().networks.values()]
    assert 0.9e6 < sum(counts) < 1.1e6 and max(counts) < 1.5 * min(counts)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GANSettings(loss="hing"), "Did you mean 'hinge'"),
        (lambda: GANSettings(penalty="r2"), "Known: r1, gradient, none"),
        (lambda: GANSettings(image_shape=(1, 30, 30)), "multiples of 4"),
        (lambda: GANSettings(latent_dim=0), "latent_dim must be from 1"),
        (lambda: GANSettings(gamma=-1), "gamma"),
        (lambda: GANSettings(drop=1.5), "drop"),
        (lambda: GANSettings(mismatched=-1), "mismatched"),
        (lambda: GANSettings(mismatched=0.5, projection=False), "sees the condition"),
        (lambda: SampleSettings(truncation=0), "truncation must be above 0"),
        (
            lambda: tiny_gan().sample(Condition.of(torch.zeros(2, 5)), RowGenerator(rows=2)),
            "size 3",
        ),
        (
            lambda: tiny_gan().loss(
                "generator", torch.zeros(2, 1, 8, 8), Condition.none(2), RowGenerator(rows=2)
            ),
            r"images \[B, 1, 4, 4\]",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_so(make, message):
    with pytest.raises(T2IError, match=message):
        make()
