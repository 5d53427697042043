"""Autoencoder, VAE and CVAE: the mathematics, and the second paper's model to the letter.

The convolutional CVAE shares all but its networks, and is held to the same.
"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence
from toys import tiny_cvae, tiny_images

from t2i_course import models
from t2i_course.conditioning.one_hot import one_hot
from t2i_course.contract import Condition, RowGenerator, T2IError
from t2i_course.metrics.cost import parameters
from t2i_course.models.conv_vae import ConvCVAE, ConvCVAESettings
from t2i_course.models.vae import (
    CVAE,
    VAE,
    Autoencoder,
    AutoencoderSettings,
    CVAESettings,
    SampleSettings,
    VAESettings,
    kl_to_standard_normal,
    reparameterise,
)
from t2i_course.training.engine import train
from t2i_course.training.settings import OptimizerSettings, TrainSettings


def tiny_conv_cvae(**settings):
    small = {"image_shape": (1, 4, 4), "latent_dim": 2, "hidden": 16, "width": 8}
    return ConvCVAE(ConvCVAESettings(**{**small, "condition_dim": 3, **settings}))


each_cvae = pytest.mark.parametrize("make", [tiny_cvae, tiny_conv_cvae])
numbers = st.floats(-3, 3).map(lambda v: round(v, 3))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6))
def test_kl_is_that_of_torchs_normal_distributions(pairs):
    mu, logvar = torch.tensor(pairs).double().T[:, None]
    want = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mu, logvar), want)


def test_reparameterised_draws_have_the_mean_and_spread_asked_for():
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, -2.0]])
    z = reparameterise(mu, logvar, RowGenerator(0, rows=100_000).normal(2))
    torch.testing.assert_close(z.mean(0), mu[0], atol=0.02, rtol=0)
    torch.testing.assert_close(z.std(0), (0.5 * logvar[0]).exp(), atol=0.02, rtol=0)


def test_the_cvae_is_the_second_papers_short_text_model():
    """784 + 10 inputs, one hidden layer of 400, 2 x 20 outputs; 20 + 10, 400, 784 back."""
    model = CVAE()
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes == {
        "encoder.0.weight": (400, 794), "encoder.0.bias": (400,),
        "encoder.2.weight": (40, 400), "encoder.2.bias": (40,),
        "decoder.0.weight": (400, 30), "decoder.0.bias": (400,),
        "decoder.2.weight": (784, 400), "decoder.2.bias": (784,),
    }  # fmt: skip
    assert isinstance(model.encoder[1], torch.nn.ReLU) and isinstance(
        model.decoder[1], torch.nn.ReLU
    )


def test_its_loss_is_summed_cross_entropy_plus_kl_written_out():
    """Oracle: the paper's sections 3.2 and 4.3 with torch's functions, in float64."""
    model = CVAE().double()
    x = torch.rand(5, 1, 28, 28).double()
    c = one_hot(torch.arange(5)).double()
    loss, numbers = model.loss("cvae", x, Condition.of(c), RowGenerator(3, rows=5))
    h = F.relu(model.encoder[0](torch.cat([x.view(5, 784), c], 1)))
    mu, logvar = model.encoder[2](h)[:, :20], model.encoder[2](h)[:, 20:]
    z = mu + logvar.exp().sqrt() * RowGenerator(3, rows=5).normal(20)
    y = torch.sigmoid(model.decoder[2](F.relu(model.decoder[0](torch.cat([z, c], 1)))))
    bce = F.binary_cross_entropy(y, x.view(5, 784), reduction="sum") / 5
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum() / 5
    torch.testing.assert_close(loss, (bce + kl).to(loss.dtype), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(numbers["kl"], kl.to(loss.dtype), rtol=1e-4, atol=1e-6)


def test_beta_weighs_the_kl_in_the_loss_and_not_in_the_elbo():
    x, none = torch.rand(4, 1, 28, 28), Condition.none(4)
    plain, heavy = VAE(), VAE(VAESettings(beta=7.0))
    loss, numbers = heavy.loss("vae", x, none, RowGenerator(0, rows=4))
    torch.testing.assert_close(loss, numbers["reconstruction"] + 7 * numbers["kl"])
    terms = [m.elbo_terms(x, none, RowGenerator(0, rows=4)) for m in (plain, heavy)]
    assert torch.equal(terms[0][0], terms[1][0]) and torch.equal(terms[0][1], terms[1][1])


def test_the_elbo_is_below_the_log_likelihood():
    """Oracle: log p(x) by importance sampling with very many latents, for a 2-latent model."""
    model = train(
        VAE(VAESettings(image_shape=(1, 4, 4), latent_dim=2, hidden=8)), tiny_images(),
        TrainSettings(steps=200, batch_size=25, precision="fp32"), progress=False,
    ).family  # fmt: skip
    x, N = tiny_images().pixels(slice(0, 3)), 200_000
    with torch.no_grad():
        for i in range(3):
            z = torch.randn(N, 2, generator=torch.Generator().manual_seed(i))
            logits = model.decode_logits(z, Condition.none(N))
            nll = model.likelihood.nll(x[i].flatten().expand_as(logits), logits, None)
            log_p = torch.logsumexp(-nll.sum(1).double(), 0) - torch.tensor(float(N)).log()
            many = x[i : i + 1].expand(2000, -1, -1, -1)
            reconstruction, kl = model.elbo_terms(
                many, Condition.none(2000), RowGenerator(i, rows=2000)
            )
            assert -(reconstruction + kl).mean() < log_p + 0.01


@pytest.mark.parametrize("family", [Autoencoder, VAE, CVAE, ConvCVAE])
def test_every_family_overfits_one_batch(family):
    base = {"image_shape": (1, 4, 4), "latent_dim": 4, "hidden": 64}
    extra = {"beta": 0.0} if issubclass(family, VAE) else {}
    extra |= {"condition_dim": 3} if issubclass(family, CVAE) else {}
    model = family(family.settings_type(**base, **extra))
    data = tiny_images(4)
    own = {name: OptimizerSettings(lr=1e-2) for name in model.networks}
    settings = TrainSettings(steps=400, batch_size=4, precision="fp32", optimizers=own)
    train(model, data, settings, progress=False)
    x, c = data.batch(torch.arange(4), RowGenerator(rows=4))
    with torch.no_grad():
        if family is Autoencoder:
            back = model.decode(model.encode(x))
        else:
            back = model.decode(model.encode(x, c)[0], c)
    assert (back - x).abs().mean() < 0.02


@each_cvae
def test_the_condition_reaches_encoder_and_decoder(make):
    model, x, z = make(), tiny_images().pixels(slice(0, 2)), torch.zeros(2, 2)
    a, b = (Condition.of(one_hot(torch.tensor(labels), 3)) for labels in ([0, 0], [0, 1]))
    for one, other in (
        (model.encode(x, a)[0], model.encode(x, b)[0]),
        (model.decode(z, a), model.decode(z, b)),
    ):
        assert torch.equal(one[0], other[0]) and not torch.equal(one[1], other[1])


@each_cvae
def test_an_absent_condition_is_the_learned_null_or_an_error(make):
    x = tiny_images().pixels(slice(0, 3))
    absent = Condition.of(torch.eye(3)).drop(torch.tensor([False, True, False]))
    with pytest.raises(T2IError, match="drop=0"):
        make().encode(x, absent)
    with pytest.raises(T2IError, match="drop=0"):
        make().sample(Condition.none(2), RowGenerator(rows=2))
    model = make(drop=0.5)
    torch.nn.init.constant_(model.null, 5.0)
    by_hand = Condition.of(torch.stack([torch.eye(3)[0], torch.full((3,), 5.0), torch.eye(3)[2]]))
    torch.testing.assert_close(model.encode(x, absent)[0], model.encode(x, by_hand)[0])
    assert model.sample(Condition.none(2), RowGenerator(rows=2)).shape == (2, 1, 4, 4)


def test_dropped_conditions_train_the_null():
    model = tiny_cvae(drop=0.5)
    run = train(
        model,
        tiny_images(),
        TrainSettings(steps=20, batch_size=16, precision="fp32"),
        progress=False,
    )
    assert run.family.null.abs().sum() > 0


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 12)])
def test_the_convolutional_cvae_takes_and_gives_images_of_its_shape(shape):
    model = ConvCVAE(ConvCVAESettings(image_shape=shape))
    x, c = torch.rand(2, *shape), Condition.of(one_hot(torch.tensor([3, 4])))
    assert model.decode(model.encode(x, c)[0], c).shape == x.shape
    assert abs(parameters(ConvCVAE()) / 1e6 - 1) < 0.1  # the size that the families share


@pytest.mark.parametrize(
    "likelihood", ["bernoulli", "continuous_bernoulli", "discretised_logistic"]
)
def test_samples_are_images_in_range_and_the_same_for_the_same_seed(likelihood):
    model = tiny_cvae(likelihood=likelihood)
    condition = Condition.of(torch.eye(3)).repeat(20)
    images = model.sample(condition, RowGenerator(1, rows=60))
    assert images.shape == (60, 1, 4, 4) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    cuts = [range(i, min(i + 25, 60)) for i in range(0, 60, 25)]
    parts = [
        model.sample(condition[slice(rows.start, rows.stop)], RowGenerator(1, rows=rows))
        for rows in cuts
    ]
    torch.testing.assert_close(torch.cat(parts), images)
    flat = model.sample(condition, RowGenerator(2, rows=60), SampleSettings(temperature=0.0))
    assert len(flat.flatten(1).unique(dim=0)) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VAESettings(likelihood="bernouli"), "Did you mean 'bernoulli'"),
        (lambda: VAESettings(beta=-1), "beta must be at least 0"),
        (lambda: CVAESettings(condition_dim=0), "condition_dim"),
        (lambda: AutoencoderSettings(latent_dim=0), "latent_dim"),
        (lambda: ConvCVAESettings(image_shape=(1, 28, 30)), "multiples of 4, not 28 and 30"),
        (lambda: ConvCVAESettings(width=0), "width must be"),
        (lambda: models.build("vea", {}), "Did you mean 'vae'"),
        (lambda: models.build("vae", {"latents": 3}), "Did you mean 'latent_dim'"),
        (
            lambda: VAE().encode(torch.zeros(2, 1, 32, 32), Condition.none(2)),
            r"images \[B, 1, 28, 28\]",
        ),
        (lambda: CVAE().decode(torch.zeros(2, 20), Condition.of(torch.zeros(2, 3))), "size 10"),
        (lambda: one_hot(torch.tensor([10])), "from 0 to 9"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_so(make, message):
    with pytest.raises(T2IError, match=message):
        make()


def test_every_family_in_the_table_is_built_from_its_own_settings():
    for name, family in models.FAMILIES.items():
        model = models.build(name, family.settings_type().to_dict(), seed=3)
        again = models.build(name, {}, seed=3)
        other = models.build(name, {}, seed=4)
        pairs = zip(model.parameters(), again.parameters(), strict=True)
        assert model.name == name and all(torch.equal(a, b) for a, b in pairs)
        pairs = zip(model.parameters(), other.parameters(), strict=True)
        assert not all(torch.equal(a, b) for a, b in pairs)
