"""Autoencoder, variational autoencoder and conditional variational autoencoder, fully connected.

The CVAE with its default settings is the second paper's short-text model (its section 3.2 and 4.3).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from t2i_course.contract import (
    Condition,
    Family,
    RowGenerator,
    Settings,
    require,
    seeded_init,
    unknown,
)
from t2i_course.models.likelihoods import LIKELIHOODS


def reparameterise(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """z = μ + σ ⊙ ε with σ = exp(½ log σ²): a draw from N(μ, σ²) with a gradient to μ and σ.

    All `[B, latent_dim]`; ε standard normal (Kingma and Welling 2014, section 2.4; the second
    paper, section 3.1).
    """
    return mu + torch.exp(0.5 * logvar) * eps


def kl_to_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, I)) = ½ Σ_j (μ_j² + σ_j² − log σ_j² − 1), in nats.

    `[B, latent_dim]` twice to `[B]` (Kingma and Welling 2014, appendix B).
    """
    return kl_of_each_latent(mu, logvar).sum(dim=1)


def kl_of_each_latent(mu: Tensor, logvar: Tensor) -> Tensor:
    """The terms of `kl_to_standard_normal`, one for each latent: `[B, latent_dim]`."""
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1)


@dataclass(frozen=True)
class AutoencoderSettings(Settings):
    """Sizes of a fully connected encoder and decoder with one hidden layer each.

    Args:
        image_shape: (C, H, W).
        latent_dim: size of the latent z.
        hidden: width of the hidden layers.
    """

    image_shape: tuple[int, int, int] = (1, 28, 28)
    latent_dim: int = 20
    hidden: int = 400

    def __post_init__(self) -> None:
        require(
            min(self.image_shape) >= 1 and math.prod(self.image_shape) <= 1_000_000,
            f"image_shape must be (C, H, W), at most a million numbers, not {self.image_shape}.",
        )
        for name in ("latent_dim", "hidden"):
            value = getattr(self, name)
            require(1 <= value <= 100_000, f"{name} must be from 1 to 100,000, not {value}.")


@dataclass(frozen=True)
class VAESettings(AutoencoderSettings):
    """As `AutoencoderSettings`, and:

    Args:
        beta: weight β of the KL term (Higgins et al. 2017); 1 gives the ELBO.
        likelihood: a name in `LIKELIHOODS`; "bernoulli" is the paper's cross-entropy.
    """

    beta: float = 1.0
    likelihood: str = "bernoulli"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta >= 0, f"beta must be at least 0, not {self.beta}.")
        if self.likelihood not in LIKELIHOODS:
            raise unknown("likelihood", self.likelihood, LIKELIHOODS)


@dataclass(frozen=True)
class CVAESettings(VAESettings):
    """As `VAESettings`, and:

    Args:
        condition_dim: size D of the condition's vector; 10 for a one-hot label.
        drop: probability of hiding a training image's condition, in [0, 1]. Above 0 the model
            learns a null vector and can then draw without a condition; the paper has 0.
    """

    condition_dim: int = 10
    drop: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            1 <= self.condition_dim <= 100_000,
            f"condition_dim must be from 1 to 100,000, not {self.condition_dim}.",
        )
        require(0 <= self.drop <= 1, f"drop must be in [0, 1], not {self.drop}.")


@dataclass(frozen=True)
class SampleSettings(Settings):
    """How latents are drawn.

    Args:
        temperature: standard deviation of z; 1 is the prior, 0 draws the most typical image.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        require(self.temperature >= 0, f"temperature must be at least 0, not {self.temperature}.")


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """One hidden layer with ReLU: `[B, inputs]` to `[B, outputs]`."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class Autoencoder(Family):
    """Image to code and back, trained with the mean squared error (the second paper, section 2.1).

    `sample` decodes standard normal codes, which nothing in the training prepared it for: that is
    what the variational autoencoder is for.
    """

    name: ClassVar[str] = "autoencoder"
    settings_type: ClassVar[type[Settings]] = AutoencoderSettings
    sampling_type: ClassVar[type[Settings]] = SampleSettings
    settings: AutoencoderSettings

    def __init__(self, settings: AutoencoderSettings | None = None, seed: int = 0):
        super().__init__()
        self.settings = s = settings or AutoencoderSettings()
        self.image_shape, self.seed = s.image_shape, seed
        pixels = math.prod(s.image_shape)
        with seeded_init(seed):
            self.encoder = mlp(pixels, s.hidden, s.latent_dim)
            self.decoder = mlp(s.latent_dim, s.hidden, pixels)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"autoencoder": self}

    def encode(self, images: Tensor) -> Tensor:
        """Images `[B, C, H, W]` in [0, 1] to codes `[B, latent_dim]`."""
        _check_images(images, self.image_shape)
        return self.encoder(images.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        """Codes `[B, latent_dim]` to images `[B, C, H, W]` in [0, 1]."""
        return torch.sigmoid(self.decoder(z)).unflatten(1, self.image_shape)

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return ((self.decode(self.encode(images)) - images) ** 2).mean(), {}

    @torch.no_grad()
    def sample(
        self, condition: Condition, generator: RowGenerator, settings: SampleSettings | None = None
    ) -> Tensor:
        z = generator.normal(self.settings.latent_dim).to(self.device)
        return self.decode((settings or SampleSettings()).temperature * z)


class VAE(Family):
    """Maximises the ELBO E_q[log p(x | z)] − β KL(q(z | x) ‖ p(z)), p(z) = N(0, I).

    Kingma and Welling 2014, eq. 3; the second paper, section 2.3. Encoder: pixels, hidden layer
    with ReLU, then μ and log σ². Decoder: z, hidden layer with ReLU, then one output a pixel.
    """

    name: ClassVar[str] = "vae"
    settings_type: ClassVar[type[Settings]] = VAESettings
    sampling_type: ClassVar[type[Settings]] = SampleSettings
    settings: VAESettings

    def __init__(self, settings: VAESettings | None = None, seed: int = 0):
        super().__init__()
        self.settings = s = settings or VAESettings()
        self.image_shape, self.seed = s.image_shape, seed
        self.likelihood = LIKELIHOODS[s.likelihood]
        with seeded_init(seed):
            self.stem, self.encoder, self.decoder = self._networks(self._condition_dim())
        if self.likelihood.scaled:
            self.log_scale = nn.Parameter(torch.full((math.prod(s.image_shape),), -3.0))

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {self.name: self}

    def _networks(self, D: int) -> tuple[nn.Module, nn.Module, nn.Module]:
        """Stem, encoder and decoder for a condition of size D, 0 for none.

        The stem turns images into vectors `[B, N]`; the encoder takes these and c to (μ, log σ²),
        the decoder z and c to the logits `[B, C·H·W]`.
        """
        s, pixels = self.settings, math.prod(self.image_shape)
        encoder = mlp(pixels + D, s.hidden, 2 * s.latent_dim)
        return nn.Flatten(), encoder, mlp(s.latent_dim + D, s.hidden, pixels)

    def _condition_dim(self) -> int:
        return 0

    def _join(self, inputs: Tensor, condition: Condition) -> Tensor:
        """What the encoder or the decoder sees: a plain VAE ignores the condition."""
        return inputs

    def encode(self, images: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Images `[B, C, H, W]` in [0, 1] to μ and log σ², each `[B, latent_dim]`."""
        _check_images(images, self.image_shape)
        mu, logvar = _at_least_float32(self._posterior(images, condition)).chunk(2, dim=1)
        return mu, logvar

    def _posterior(self, images: Tensor, condition: Condition) -> Tensor:
        """μ and log σ² side by side, `[B, 2 latent_dim]`."""
        return self.encoder(self._join(self.stem(images), condition))

    def decode_logits(self, z: Tensor, condition: Condition) -> Tensor:
        """Latents `[B, latent_dim]` to the likelihood's logits `[B, C·H·W]`."""
        return _at_least_float32(self.decoder(self._join(z, condition)))

    def decode(self, z: Tensor, condition: Condition) -> Tensor:
        """Latents `[B, latent_dim]` to mean images `[B, C, H, W]` in [0, 1]."""
        return self.likelihood.mean(self.decode_logits(z, condition)).unflatten(1, self.image_shape)

    def elbo_terms(
        self, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, Tensor]:
        """−log p(x | z) for one drawn z, and KL(q(z | x) ‖ p(z)): each `[B]`, nats an image.

        Their sum is an unbiased estimate of the negative ELBO (β does not enter).
        """
        mu, logvar = self.encode(images, condition)
        z = reparameterise(mu, logvar, generator.normal(self.settings.latent_dim).to(mu.device))
        logits = self.decode_logits(z, condition)
        nll = self.likelihood.nll(images.flatten(1), logits, getattr(self, "log_scale", None))
        return nll.sum(dim=1), kl_to_standard_normal(mu, logvar)

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        reconstruction, kl = (term.mean() for term in self.elbo_terms(images, condition, generator))
        return reconstruction + self.settings.beta * kl, {
            "reconstruction": reconstruction,
            "kl": kl,
        }

    @torch.no_grad()
    def sample(
        self, condition: Condition, generator: RowGenerator, settings: SampleSettings | None = None
    ) -> Tensor:
        z = generator.normal(self.settings.latent_dim).to(self.device)
        temperature = (settings or SampleSettings()).temperature
        return self.decode(temperature * z, condition.to(self.device))


class CVAE(VAE):
    """The VAE of p(x | c): the condition's vector c joins the encoder's and the decoder's input.

    Sohn et al. 2015; the second paper, section 3.2: q(z | x, c), p(x | z, c), p(z) = N(0, I).
    """

    name: ClassVar[str] = "cvae"
    settings_type: ClassVar[type[Settings]] = CVAESettings
    conditional = True
    settings: CVAESettings

    def __init__(self, settings: CVAESettings | None = None, seed: int = 0):
        super().__init__(settings or CVAESettings(), seed)
        if self.settings.drop > 0:
            self.null = nn.Parameter(torch.zeros(self.settings.condition_dim))

    def _condition_dim(self) -> int:
        return self.settings.condition_dim

    def _join(self, inputs: Tensor, condition: Condition) -> Tensor:
        """`[B, N]` and c `[B, D]` to `[B, N + D]`."""
        return torch.cat([inputs, self._vector(condition)], dim=1)

    def _vector(self, condition: Condition) -> Tensor:
        """c `[B, D]`, the learned null in the rows where the condition is absent."""
        D = self.settings.condition_dim
        if self.settings.drop > 0:
            vector = (
                torch.zeros(len(condition), D) if condition.vector is None else condition.vector
            )
            vector = vector.to(self.null.device)
            _check_vector(vector, D)
            return torch.where(condition.present[:, None], vector, self.null)
        require(
            condition.vector is not None and bool(condition.present.all()),
            "This CVAE was trained with drop=0: it never saw an image without its condition and "
            f"has no null vector. Give every image a vector of size {D}, or train with drop > 0.",
        )
        assert condition.vector is not None
        _check_vector(condition.vector, D)
        return condition.vector

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.settings.drop > 0:
            condition = condition.drop(generator.uniform().to(images.device) < self.settings.drop)
        return super().loss(name, images, condition, generator)


def _at_least_float32(x: Tensor) -> Tensor:
    """Exponentials and sums over pixels are no work for bfloat16, which autocast may have made."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _check_images(images: Tensor, shape: tuple[int, int, int]) -> None:
    require(
        tuple(images.shape[1:]) == tuple(shape),
        f"This model takes images [B, {', '.join(map(str, shape))}]; it was given "
        f"{list(images.shape)}.",
    )


def _check_vector(vector: Tensor, D: int) -> None:
    require(
        vector.shape[1] == D,
        f"This model takes conditions of size {D}; the vectors have size {vector.shape[1]}.",
    )
