"""Generative adversarial networks: losses and penalties as plain functions, and one family.

Inside, images are in [-1, 1] and x is an image, z a latent, y a label's vector with one more place
for "no label"; D gives logits, positive for "real". The losses know no network.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from t2i_course.contract import (
    Condition,
    Family,
    RowGenerator,
    Settings,
    require,
    seeded_init,
    unknown,
)
from t2i_course.models.norms import ConditionalBatchNorm2d, SpectralNorm

CHOICES = {
    "loss": ("non-saturating", "hinge"),
    "penalty": ("r1", "gradient", "none"),
}


def non_saturating_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """−E log σ(D(x)) − E log(1 − σ(D(G(z)))), the cross-entropy of real against drawn images.

    Logits `[B]` twice to a scalar (Goodfellow et al. 2014, eq. 1, with D's sign turned).
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def non_saturating_generator(fake: Tensor) -> Tensor:
    """−E log σ(D(G(z))): a strong gradient where D is sure that an image was drawn.

    Logits `[B]` to a scalar (Goodfellow et al. 2014, section 3, last paragraph).
    """
    return F.softplus(-fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E max(0, 1 − D(x)) + E max(0, 1 + D(G(z))): only rows inside the margin count.

    Logits `[B]` twice to a scalar (Lim and Ye 2017, "Geometric GAN", eq. 20, with C = 1).
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """−E D(G(z)). Logits `[B]` to a scalar (Lim and Ye 2017, eq. 21)."""
    return -fake.mean()


def squared_gradient_norm(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """‖∇_x D(x)‖² of each row, `[B, …]` to `[B]`, itself differentiable in D's parameters."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(dim=1)


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """R_1 / γ = ½ E ‖∇D(x)‖² at the real images, which makes D flat where it should end.

    Images `[B, …]` to a scalar (Mescheder, Geiger and Nowozin 2018, eq. 9).
    """
    return 0.5 * squared_gradient_norm(discriminator, real).mean()


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, u: Tensor
) -> Tensor:
    """E (‖∇D(x̂)‖ − 1)² at x̂ = u x + (1 − u) G(z), with one u in [0, 1] for each row `[B]`.

    Images `[B, …]` twice to a scalar (Gulrajani et al. 2017, eq. 3).
    """
    u = u.reshape(-1, *[1] * (real.ndim - 1))
    norm = (squared_gradient_norm(discriminator, u * real + (1 - u) * fake) + 1e-12).sqrt()
    return (norm - 1).square().mean()


@dataclass(frozen=True)
class GANSettings(Settings):
    """Sizes of generator and discriminator, and the game that they play.

    Args:
        image_shape: (C, H, W), H and W multiples of 4.
        latent_dim: size of the latent z.
        condition_dim: size D of the condition's vector; 10 for a one-hot label.
        generator_width: channels of the generator.
        discriminator_width: channels of the discriminator's first layer; the later ones have twice
            as many.
        loss: "non-saturating" or "hinge".
        penalty: "r1", "gradient" or "none".
        gamma: weight γ of the penalty.
        penalty_every: the penalty is computed on each so many-th row only, to save time.
        spectral_norm: divide each weight of the discriminator by its largest singular value.
        projection: whether the discriminator sees the condition.
        drop: probability of hiding an image's condition in training, in [0, 1]. Above 0 the
            generator learns to draw without a condition.
        mismatched: share, in [0, 1], of real images with another image's condition among the pairs
            that the discriminator is to reject: 0.5 in Reed et al. 2016, algorithm 1 (GAN-CLS).
            Above 0 it must look at the condition, which a sentence's vector needs.
    """

    image_shape: tuple[int, int, int] = (1, 28, 28)
    latent_dim: int = 64
    condition_dim: int = 10
    generator_width: int = 32
    discriminator_width: int = 32
    loss: str = "non-saturating"
    penalty: str = "r1"
    gamma: float = 1.0
    penalty_every: int = 16
    spectral_norm: bool = False
    projection: bool = True
    drop: float = 0.1
    mismatched: float = 0.0

    def __post_init__(self) -> None:
        C, H, W = self.image_shape
        require(
            C >= 1 and min(H, W) >= 4 and H % 4 == 0 and W % 4 == 0 and C * H * W <= 1_000_000,
            "image_shape must be (C, H, W), H and W multiples of 4, at most a million numbers, "
            f"not {self.image_shape}.",
        )
        for name in (
            "latent_dim", "condition_dim", "generator_width", "discriminator_width",
            "penalty_every",
        ):  # fmt: skip
            value = getattr(self, name)
            require(1 <= value <= 100_000, f"{name} must be from 1 to 100,000, not {value}.")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        require(self.gamma >= 0, f"gamma must be at least 0, not {self.gamma}.")
        for name in ("drop", "mismatched"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name} must be in [0, 1], not {value}.")
        require(
            self.projection or self.mismatched == 0,
            "mismatched pairs differ for a discriminator that sees the condition only: "
            "projection=True, or mismatched=0.",
        )


@dataclass(frozen=True)
class SampleSettings(Settings):
    """How latents are drawn.

    Args:
        truncation: z is drawn from the part of N(0, I) within ± this; None for all of it.
            Smaller: more typical images, less variety (Brock et al. 2019, section 3.1).
    """

    truncation: float | None = None

    def __post_init__(self) -> None:
        require(
            self.truncation is None or self.truncation > 0,
            f"truncation must be above 0 or None, not {self.truncation}.",
        )


def truncate(z: Tensor, limit: float) -> Tensor:
    """Standard normal z to the normal distribution cut off at ± `limit`, keeping its quantile.

    z ↦ Φ⁻¹(Φ(−t) + Φ(z) (Φ(t) − Φ(−t))), Φ the normal's distribution function: the distribution of
    BigGAN's truncation trick without redrawing, so that one z gives one image for each t.
    """
    tail = 0.5 * math.erfc(limit / math.sqrt(2))
    quantile = tail + torch.special.ndtr(z.double()) * (1 - 2 * tail)
    return torch.special.ndtri(quantile).clamp(-limit, limit).to(z.dtype)


class Generator(nn.Module):
    """z `[B, latent_dim]` and y `[B, D + 1]` to images `[B, C, H, W]` in [-1, 1].

    A linear layer to H/4 x W/4, then four convolutions after class-conditional batch norm and
    ReLU, two at a quarter and two at half of the resolution. Where it doubles, PixelShuffle lays
    four channels out as 2 x 2 pixels (Shi et al. 2016): nothing is computed at the full size.
    """

    def __init__(self, settings: GANSettings):
        super().__init__()
        C, H, W = settings.image_shape
        width, S = settings.generator_width, settings.latent_dim + settings.condition_dim + 1
        self.size = (2 * width, H // 4, W // 4)
        widths = (2 * width, 4 * width, width, width)
        self.first = nn.Linear(S, math.prod(self.size))
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(n, S) for n in widths)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(n, out, 3, padding=1)
            for n, out in zip(widths, (4 * width, 4 * width, width, 4 * C), strict=True)
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        s = torch.cat([z, y], dim=1)
        x = self.first(s).unflatten(1, self.size).contiguous(memory_format=torch.channels_last)
        for i in range(4):
            x = self.convolutions[i](F.relu(self.norms[i](x, s)))
            x = F.pixel_shuffle(x, 2) if i in (1, 3) else x
        return torch.tanh(x.float())


class Discriminator(nn.Module):
    """x `[B, C, H, W]` in [-1, 1] and y `[B, D + 1]` to logits `[B]`: w·φ(x) + b + (V y)·φ(x).

    The projection (V y)·φ(x) is Miyato and Koyama 2018, eq. 3 to 5: log p(y | x) / q(y | x) for a
    softmax classifier on φ. No norm over the batch: a penalty needs each row's own gradient.
    """

    def __init__(self, settings: GANSettings):
        super().__init__()
        C, H, W = settings.image_shape
        width = settings.discriminator_width
        eighth = math.ceil(H / 8) * math.ceil(W / 8)
        self.features = nn.Sequential(
            nn.Conv2d(C, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 4 * width, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 4 * width, 3, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 4 * width, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(4 * width * eighth, 2 * width), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.head = nn.Linear(2 * width, 1)
        D = settings.condition_dim + 1
        self.projection = nn.Linear(D, 2 * width, bias=False) if settings.projection else None
        if settings.spectral_norm:
            for layer in list(self.modules()):
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    norm = SpectralNorm(layer.weight)
                    parametrize.register_parametrization(layer, "weight", norm)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.judge(self.phi(x), y)

    def phi(self, x: Tensor) -> Tensor:
        """φ(x) `[B, 2 · width]`."""
        return self.features(x.contiguous(memory_format=torch.channels_last))

    def judge(self, phi: Tensor, y: Tensor) -> Tensor:
        """Logits `[B]` of pairs of features and conditions: another y costs no convolution."""
        logits = self.head(phi).squeeze(1).float()
        if self.projection is None:
            return logits
        return logits + (self.projection(y) * phi).float().sum(dim=1)


class GAN(Family):
    """A conditional GAN: class-conditional batch norm in G, a projection discriminator D.

    One step updates D, then G (Goodfellow et al. 2014, algorithm 1, with k = 1). Batch norm and
    the spectral norm's power iteration see the batch as a whole: one process, no micro-batches.
    """

    name: ClassVar[str] = "gan"
    settings_type: ClassVar[type[Settings]] = GANSettings
    sampling_type: ClassVar[type[Settings]] = SampleSettings
    conditional = True
    settings: GANSettings

    def __init__(self, settings: GANSettings | None = None, seed: int = 0):
        super().__init__()
        self.settings = s = settings or GANSettings()
        self.image_shape, self.seed = s.image_shape, seed
        with seeded_init(seed):
            self.discriminator, self.generator = Discriminator(s), Generator(s)
        self.to(memory_format=torch.channels_last)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        s, hinge = self.settings, self.settings.loss == "hinge"
        require(
            tuple(images.shape[1:]) == tuple(s.image_shape),
            f"This model takes images [B, {', '.join(map(str, s.image_shape))}]; it was given "
            f"{list(images.shape)}.",
        )
        z, given = generator.normal(s.latent_dim), condition
        if s.drop > 0:
            condition = condition.drop(generator.uniform().to(images.device) < s.drop)
        y = self._label(condition)
        if name == "generator":
            fake = self.discriminator(self.generator(z, y), y)
            return hinge_generator(fake) if hinge else non_saturating_generator(fake), {}
        x = 2 * images - 1
        with torch.no_grad():
            x_fake = self.generator(z, y)
        phi = self.discriminator.phi(torch.cat([x, x_fake]))
        real, fake = self.discriminator.judge(phi, torch.cat([y, y])).chunk(2)
        function = hinge_discriminator if hinge else non_saturating_discriminator
        loss = function(real, fake)
        numbers = {"real": real.mean(), "fake": fake.mean()}
        if s.mismatched > 0:
            wrong = self._neighbours(given)
            pair = self.discriminator.judge(phi[: len(x)], wrong)
            pair = torch.where(wrong[:, -1] > 0, fake, pair)  # a fake where there is no wrong y
            loss = torch.lerp(loss, function(real, pair), s.mismatched)
            numbers["mismatched"] = pair.mean()
        if s.penalty != "none":
            numbers["penalty"] = self._penalty(x, x_fake, y, generator)
            loss = loss + s.gamma * numbers["penalty"]
        return loss, numbers

    def _neighbours(self, condition: Condition) -> Tensor:
        """A wrong y for each row, its neighbour's, `[B, D + 1]`; where that is no wrong one, being
        equal to the row's own, or where either is absent, "no label"."""
        y = self._label(condition)
        wrong = y.roll(1, dims=0)
        none = (wrong == y).all(dim=1) | (wrong[:, -1] + y[:, -1] > 0)
        return self._label(Condition.of(wrong[:, :-1]).drop(none))

    def _penalty(self, x: Tensor, x_fake: Tensor, y: Tensor, generator: RowGenerator) -> Tensor:
        """The penalty on each `penalty_every`-th row, in float32: bfloat16's gradients of
        gradients are too coarse."""
        every = self.settings.penalty_every
        x, y = x[::every], y[::every]
        with torch.autocast(x.device.type, enabled=False):
            if self.settings.penalty == "r1":
                return r1_penalty(lambda x: self.discriminator(x, y), x)
            u = generator.uniform().to(x.device)[::every]
            return gradient_penalty(lambda x: self.discriminator(x, y), x, x_fake[::every], u)

    @torch.no_grad()
    def sample(
        self, condition: Condition, generator: RowGenerator, settings: SampleSettings | None = None
    ) -> Tensor:
        require(
            self.settings.drop > 0 or bool(condition.present.all()),
            "This GAN was trained with drop=0: it never drew an image without its condition. Give "
            f"every image a vector of size {self.settings.condition_dim}, or train with drop > 0.",
        )
        z = generator.normal(self.settings.latent_dim)
        truncation = (settings or SampleSettings()).truncation
        z = z if truncation is None else truncate(z, truncation)
        training = self.generator.training
        self.generator.eval()  # a row's image must not depend on the batch's other rows
        try:
            images = self.generator(z.to(self.device), self._label(condition.to(self.device)))
        finally:
            self.generator.train(training)
        return (images + 1) / 2

    def _label(self, condition: Condition) -> Tensor:
        """y `[B, D + 1]`: the condition's vector and 0, or zeros and 1 where it is absent."""
        D, present = self.settings.condition_dim, condition.present[:, None]
        vector = condition.vector
        if vector is None:
            require(not bool(condition.present.any()), f"A GAN takes a vector of size {D}.")
            vector = torch.zeros(len(condition), D, device=present.device)
        require(
            vector.shape[1] == D,
            f"This model takes conditions of size {D}; the vectors have size {vector.shape[1]}.",
        )
        return torch.cat([vector * present, (~present).to(vector.dtype)], dim=1)
