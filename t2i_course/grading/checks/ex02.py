"""The checks of exercise 02: the variational autoencoder."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.grading.checking import Checking, shown, task


@task(
    "ex02-reparameterise",
    equation=(
        "z = μ + σ ε with σ = exp(½ log σ²)",
        "z = μ + σ ε with σ = softplus(ρ)",
    ),
    points=2,
    reference="t2i_course.models.vae:reparameterise",
)
def check_reparameterise(c: Checking) -> None:
    mu, raw, eps = c.draw.normal(6, 3), c.draw.normal(6, 3), c.draw.normal(6, 3)
    case = "a batch of 6 with 3 latents"
    z = c.answer(mu, raw, eps)
    c.tensor(z, (6, 3), case, torch.float32)
    c.close(
        c.answer(mu, raw, 0 * eps), mu, "ε = 0", layer="property",
        slips={"the mean μ is not added.": 0 * mu},
    )  # fmt: skip
    wrong = {
        "logvar is log σ², not σ: take exp(logvar / 2).": raw,
        "exp(2 · logvar)? σ is the square root of σ², so the exponent is halved.": (2 * raw).exp(),
    }
    if c.variant == 1:
        sigma, by_raw = (0.5 * raw).exp(), 0.5 * (0.5 * raw).exp()
        wrong["exp(logvar) is the variance σ²; ε is multiplied by the standard deviation σ."] = (
            raw.exp()
        )
        wrong["logvar / 2 is log σ, not σ: take the exponential."] = 0.5 * raw
    else:
        sigma, by_raw = F.softplus(raw), raw.sigmoid()
        wrong = {
            "ρ itself may be negative: σ is softplus(ρ).": raw,
            "here σ is softplus(ρ) = log(1 + exp(ρ)), not exp(ρ).": raw.exp(),
            "here ρ is no log σ²: σ is softplus(ρ) = log(1 + exp(ρ)).": (0.5 * raw).exp(),
            "softplus(ρ) is σ already: no square root.": F.softplus(raw).sqrt(),
            "log(1 + exp(ρ)): the 1 is missing or the logarithm is.": 1 + raw.exp(),
            "max(ρ, 0) is no softplus: a σ of 0 has no gradient.": raw.relu(),
        }
    slips = {words: mu + value * eps for words, value in wrong.items()}
    slips["ε is multiplied by σ, and μ added: not the other way round."] = sigma + mu * eps
    c.close(z, mu + sigma * eps, case, slips=slips)
    gradients = c.answer.gradients(mu, raw, eps, wrt=(0, 1))
    c.close(gradients[0], torch.ones(6, 3), "the gradient of the sum of z by μ")
    c.close(gradients[1], by_raw * eps, "the gradient of the sum of z by the second argument")


def _kl(mu: Tensor, logvar: Tensor, s: float = 1.0) -> Tensor:
    """The terms of KL(N(μ, σ²) ‖ N(0, s²)), one for each latent, float64."""
    mu, logvar = mu.double(), logvar.double()
    return 0.5 * ((mu**2 + logvar.exp()) / s**2 - logvar + 2 * math.log(s) - 1)


@task(
    "ex02-kl",
    equation=(
        "KL(N(μ, σ²) ‖ N(0, I)) = ½ Σ_j (μ_j² + σ_j² − log σ_j² − 1)",
        "KL(N(μ, σ²) ‖ N(0, s² I)) = ½ Σ_j ((μ_j² + σ_j²) / s² − log σ_j² + log s² − 1)",
    ),
    points=3,
    reference="t2i_course.models.vae:kl_to_standard_normal, "
    "t2i_course.models.vae:kl_of_each_latent",
)
def check_kl(c: Checking) -> None:
    B, K = 5, 3
    mu, logvar = c.draw.normal(B, K), c.draw.normal(B, K)
    s = 1.0 if c.variant == 1 else round(c.draw.uniform(1, low=1.5, high=1.9).item(), 2)
    rest = () if c.variant == 1 else (s,)
    case = "5 images with 3 latents" + ("" if c.variant == 1 else f", prior of deviation {s}")
    kl = c.answer(mu, logvar, *rest)
    c.tensor(kl, (B,), case, slips={
        (): "one KL for each image: add up the latents (dim=1), not the images.",
        (K,): "add up the latents of an image (dim=1), not the images (dim=0).",
        (B, K): "the KLs of the latents add up: sum over dim=1.",
        (B, 1): "keepdim keeps a place that is not wanted here.",
    })  # fmt: skip
    wide = torch.full((2, K), 2 * math.log(s))
    at_prior = "μ = 0 and σ = s, where q is the prior"
    v = s**2
    c.close(
        c.answer(0 * mu[:2], wide, *rest), torch.zeros(2), at_prior, layer="property",
        slips={
            "the − 1 is missing: where q is the prior the KL is 0.": torch.full((2,), K / 2),
            "− 1 for each latent, so it belongs inside the sum.": torch.full((2,), (K - 1) / 2),
            "log s² is missing: where q is the prior the KL is 0.": torch.full(
                (2,), -K * math.log(s)
            ),
            "log s² for log s: 2 log s.": torch.full((2,), -K * math.log(s) / 2),
            "the variance s², not the deviation s.": torch.full((2,), K * (s - 1) / 2),
            "σ² / s² has a logarithm: − log σ² + log s².": torch.full((2,), K / 2 * (1 / v - 1)),
        },
    )  # fmt: skip
    m, w = mu.double(), logvar.double()
    each = _kl(mu, logvar, s)
    sigma = (0.5 * w).exp()
    reversed_ = 0.5 * ((m**2 + v) / w.exp() + w - 2 * math.log(s) - 1)
    slips: dict[str, Tensor | float] = {
        "a mean for the sum: the KLs of independent latents add up.": each.mean(1),
        "the factor ½ is missing.": 2 * each.sum(1),
        "that is KL(p ‖ q): the encoder's q comes first.": reversed_.sum(1),
        "exp(logvar) is σ² already: no square, no half.": (
            0.5 * (m**2 + (2 * w).exp() - w - 1).sum(1)
        ),
        "σ² is exp(logvar); exp(logvar / 2) is σ.": 0.5
        * ((m**2 + sigma) / v - w + 2 * math.log(s) - 1).sum(1),
        "μ enters squared.": 0.5 * ((m + w.exp()) / v - w + 2 * math.log(s) - 1).sum(1),
        "|μ| for μ²: μ enters squared.": 0.5
        * ((m.abs() + w.exp()) / v - w + 2 * math.log(s) - 1).sum(1),
        "μ² is measured in units of the prior too: divide it by s².": 0.5
        * (m**2 + w.exp() / v - w + 2 * math.log(s) - 1).sum(1),
    }
    if bool((kl < -1e-5).any()):
        slips["a KL is never negative: μ² and σ² are added, log σ² is taken off."] = kl
    c.close(kl, each.sum(1), case, slips=slips)


@task(
    "ex02-nll",
    equation=(
        "−log p(x | z) = Σ_i (softplus(ℓ_i) − x_i ℓ_i)",
        "−log p(x | z) = Σ_i ((x_i − m_i)² / 2s² + log s + ½ log 2π)",
    ),
    points=3,
    reference="t2i_course.models.likelihoods:bernoulli_nll",
)
def check_nll(c: Checking) -> None:
    if c.variant == 1:
        _check_bernoulli(c)
    else:
        _check_gaussian(c)


SHAPES = {
    (): "one number for each image: sum over the pixels (dim=1) only.",
    (7,): "sum over the pixels (dim=1), not over the images (dim=0).",
    (4, 7): "the pixels of an image add up: sum over dim=1.",
}


def _check_bernoulli(c: Checking) -> None:
    x, logits = c.draw.uniform(4, 7), 2 * c.draw.normal(4, 7)
    case = "4 images of 7 pixels"
    nll = c.answer(x, logits)
    c.tensor(nll, (4,), case, slips=SHAPES)
    half = "ℓ = 0, where every pixel costs log 2"
    c.close(
        c.answer(x, 0 * logits), torch.full((4,), 7 * math.log(2)), half, layer="property",
        slips={
            "a mean for the sum: the pixels' terms add up.": torch.full((4,), math.log(2)),
            "the sign: −log p is positive here.": torch.full((4,), -7 * math.log(2)),
            "of the two terms, x log λ and (1 − x) log(1 − λ), one is missing.": math.log(2)
            * x.sum(1),
        },
    )  # fmt: skip
    far = torch.tensor([[200.0, -200.0, 200.0, -200.0]])
    target = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    big, huge = c.answer(target, far), "logits of ± 200, two of them wrong"
    finite = not isinstance(big, Tensor) or bool(big.isfinite().all())
    c.holds(
        finite, "contract", huge, "a finite number", shown(big),
        "σ(200) rounds to 1 and log(1 − 1) is −∞: write log(1 + e^ℓ) as softplus.",
    )  # fmt: skip
    c.tensor(big, (1,), huge)
    p, ell = x.double(), logits.double()
    entropy = F.softplus(ell) - p * ell
    slips = {
        "x and the logits have changed places.": (F.softplus(p) - p * ell).sum(1),
        "softplus(ℓ) − x ℓ: the product is taken off.": (F.softplus(ell) + p * ell).sum(1),
        "softplus(−ℓ) − x ℓ: that is of 1 − λ; without the minus.": (
            F.softplus(-ell) - p * ell
        ).sum(1),
        "x stands for the probability of white: 1 − x belongs to the other term.": (
            F.softplus(-ell) + p * ell
        ).sum(1),
        "the logits went through the sigmoid twice, or were taken for probabilities.": (
            F.softplus(ell.sigmoid()) - p * ell.sigmoid()
        ).sum(1),
        "divide by nothing: the sum over the pixels.": entropy.mean(1),
        "rounded to black and white? The grey value x itself weighs the terms.": (
            F.softplus(ell) - p.round() * ell
        ).sum(1),
    }
    c.close(nll, entropy.sum(1), case, slips=slips)
    c.close(
        big, torch.tensor([400.0]), huge, rtol=1e-3,
        slips={
            "a clamp hides how wrong it is: log(1 + e^ℓ) as softplus needs none.": 2
            * torch.full((1,), -math.log(1e-7)),
            "a clamp hides how wrong it is (1e-6): softplus needs none.": torch.full(
                (1,), -2 * math.log(1e-6)
            ),
            "a clamp hides how wrong it is (1e-8): softplus needs none.": torch.full(
                (1,), -2 * math.log(1e-8)
            ),
        },
    )  # fmt: skip


def _check_gaussian(c: Checking) -> None:
    x, m = c.draw.uniform(4, 7), c.draw.uniform(4, 7)
    s = round(c.draw.uniform(1, low=0.15, high=0.4).item(), 3)
    case = f"4 images of 7 pixels, s = {s}"
    nll = c.answer(x, m, s)
    c.tensor(nll, (4,), case, slips=SHAPES)
    constant = 7 * (math.log(s) + 0.5 * math.log(2 * math.pi))
    c.close(
        c.answer(x, x, s), torch.full((4,), constant), "m = x, where only the constant is left",
        layer="property", atol=1e-4,
        slips={
            "the constant ½ log 2π is missing: without it the density integrates to another "
            "number.": torch.full((4,), 7 * math.log(s)),
            "log s is missing, or it is there once and not for each pixel.": torch.full(
                (4,), 3.5 * math.log(2 * math.pi)
            ),
            "log s for each pixel, not once.": torch.full(
                (4,), math.log(s) + 3.5 * math.log(2 * math.pi)
            ),
            "both constants belong to each pixel: 7 times here.": torch.full((4,), constant / 7),
            "that is a mean squared error: the density's constant is missing.": torch.zeros(4),
            "log s, not log s²: or halve it.": torch.full((4,), constant + 7 * math.log(s)),
            "½ log 2π, not log 2π.": torch.full((4,), constant + 3.5 * math.log(2 * math.pi)),
        },
    )  # fmt: skip
    square = (x - m).double().square().sum(1)
    c.close(
        nll, square / (2 * s**2) + constant, case,
        slips={
            "divide the squared distance by the variance: 2 s², not 2 s.": square / (2 * s)
            + constant,
            "half of it: (x − m)² / 2s².": square / s**2 + constant,
            "a mean for the sum over the pixels.": square / 7 / (2 * s**2) + constant,
            "the distance enters squared.": (x - m).double().abs().sum(1) / (2 * s**2) + constant,
            "−log p has a plus before the squared distance.": constant - square / (2 * s**2),
        },
    )  # fmt: skip


@task(
    "ex02-vae_loss",
    equation="L = 1/B Σ_b (−log p(x | z) + β KL), z = μ + σ ε, both terms summed, not averaged",
    points=4,
)
def check_vae_loss(c: Checking) -> None:
    B, P, K = 5, 6, 3
    x, eps = c.draw.uniform(B, P), c.draw.normal(B, K)
    E, D = c.draw.normal(P, 2 * K), c.draw.normal(K, P)
    beta = round(c.draw.uniform(1, low=1.5, high=3.0).item(), 2)

    def encoder(v: Tensor) -> Tensor:
        return torch.tanh(v @ E.to(v))

    def decoder(z: Tensor) -> Tensor:
        return z @ D.to(z)

    case = f"5 images of 6 pixels, 3 latents, β = {beta}"
    loss = c.answer(encoder, decoder, x, eps, beta)
    c.tensor(loss, (), case, slips={(B,): "one number: the mean over the images."})
    blind = c.answer(lambda v: torch.zeros(len(v), 2 * K), lambda z: 0 * (z @ D), x, eps, beta)
    c.close(
        blind, P * math.log(2), "an encoder and a decoder that give zeros", layer="property",
        slips={
            "mean for sum over the pixels: log p(x | z) is a sum.": torch.tensor(math.log(2)),
            "sum for mean over the images.": torch.tensor(B * P * math.log(2)),
            "β weighs the KL alone, not the reconstruction.": torch.tensor(
                beta * P * math.log(2)
            ),
            "the decoder gives logits: the sigmoid is missing or taken twice.": F.softplus(
                torch.tensor(0.5)
            )
            * P
            - 0.5 * x.sum() / B,
        },
    )  # fmt: skip
    mu, logvar = encoder(x.double()).chunk(2, dim=1)

    def total(
        mu: Tensor, logvar: Tensor, z: Tensor, weights: tuple[float, float] = (1.0, beta)
    ) -> Tensor:
        ell = decoder(z)
        nll = (F.softplus(ell) - x.double() * ell).sum(1)
        return weights[0] * nll.mean() + weights[1] * _kl(mu, logvar).sum(1).mean()

    z = mu + (0.5 * logvar).exp() * eps
    slips = {
        "β is not used.": total(mu, logvar, z, (1.0, 1.0)),
        "a mean over the latents: the KL is a sum.": total(mu, logvar, z, (1.0, beta / K)),
        "the KL's ½ is missing.": total(mu, logvar, z, (1.0, 2 * beta)),
        "the decoder gets z = μ + σ ε, not μ alone.": total(mu, logvar, mu),
        "σ = exp(½ logvar): yours is the variance.": total(mu, logvar, mu + logvar.exp() * eps),
        "the encoder gives μ first, then log σ².": total(
            logvar, mu, logvar + (0.5 * mu).exp() * eps
        ),
        "the KL is added: the loss is the negative ELBO.": total(mu, logvar, z, (1.0, -beta)),
    }
    c.close(loss, total(mu, logvar, z), case, slips=slips)


@task(
    "ex02-bits_per_pixel",
    equation="bits = (nll / pixels + log 256) / log 2, nll = −log of a density on [0, 1], in nats",
    points=2,
)
def check_bits_per_pixel(c: Checking) -> None:
    pixels = c.draw.integer(50, 900)
    nll = c.draw.uniform(4, low=-3.0, high=1.0) * pixels
    case = f"4 images of {pixels} pixels"
    flat = c.answer(torch.zeros(3), pixels)
    even = "the even density, −log 1 = 0 nats"
    c.tensor(flat, (3,), even)
    c.close(
        flat, torch.full((3,), 8.0), even, layer="property",
        slips={
            "nats: divide by log 2 to get bits.": torch.full((3,), math.log(256)),
            "log 256 is missing: a bin is 1/256 wide, so its probability is the density / 256.": (
                torch.zeros(3)
            ),
            "log 256 for each pixel, not once for an image.": torch.full((3,), 8 / pixels),
            "log₂ 255? There are 256 grey values.": torch.full((3,), math.log2(255)),
            "log 256 is added, not taken off.": torch.full((3,), -8.0),
            "divide by log 2, do not multiply.": torch.full((3,), math.log(256) * math.log(2)),
        },
    )  # fmt: skip
    each = nll.double() / pixels
    bits = c.answer(nll, pixels)
    c.tensor(bits, (4,), case)
    c.close(
        bits, (each + math.log(256)) / math.log(2), case,
        slips={
            "the nats are divided by the pixels and by log 2, too.": each + 8,
            "divide the image's nats by its number of pixels.": (nll + math.log(256)) / math.log(2),
            "log 2 divides both terms, once.": nll / pixels * math.log(2) + 8,
            "a smaller density costs more bits: nll is added.": 8 - each / math.log(2),
        },
    )  # fmt: skip
