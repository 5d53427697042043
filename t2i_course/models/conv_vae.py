"""The convolutional conditional variational autoencoder: the CVAE with other networks."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from t2i_course.contract import Condition, Settings, require
from t2i_course.models.vae import CVAE, CVAESettings, mlp


@dataclass(frozen=True)
class ConvCVAESettings(CVAESettings):
    """As `CVAESettings`, and:

    Args:
        image_shape: (C, H, W), H and W multiples of 4.
        hidden: width of the fully connected layers.
        width: channels at half the images' size; at a quarter there are twice as many.
    """

    latent_dim: int = 32
    hidden: int = 144
    width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        _, H, W = self.image_shape
        require(H % 4 == 0 and W % 4 == 0, f"H and W must be multiples of 4, not {H} and {W}.")
        require(1 <= self.width <= 10_000, f"width must be from 1 to 10,000, not {self.width}.")


class ConvCVAE(CVAE):
    """The CVAE with convolutions between pixels and vectors; the mathematics is `CVAE`'s.

    Two convolutions of stride 2 halve the size twice, two transposed ones double it again
    (Radford et al. 2016, section 3); without BatchNorm, which would tie the images of a batch
    together. Before the condition joins the vectors, as in the fully connected CVAE, a linear layer
    makes it as wide as they are: a label's ten numbers alone would be learned from too slowly.
    """

    name: ClassVar[str] = "conv-cvae"
    settings_type: ClassVar[type[Settings]] = ConvCVAESettings
    settings: ConvCVAESettings

    def __init__(self, settings: ConvCVAESettings | None = None, seed: int = 0):
        super().__init__(settings or ConvCVAESettings(), seed)
        self.to(memory_format=torch.channels_last)  # faster on a CPU

    def _condition_dim(self) -> int:
        return self.settings.hidden

    def _vector(self, condition: Condition) -> Tensor:
        return self.embed(super()._vector(condition))

    def _networks(self, D: int) -> tuple[nn.Module, nn.Module, nn.Module]:
        s, (C, H, W) = self.settings, self.image_shape
        self.embed = nn.Linear(s.condition_dim, D)
        small = (2 * s.width, H // 4, W // 4)
        stem = nn.Sequential(
            nn.Conv2d(C, s.width, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(s.width, 2 * s.width, 4, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(math.prod(small), s.hidden), nn.ReLU(),
        )  # fmt: skip
        encoder = mlp(s.hidden + D, s.hidden, 2 * s.latent_dim)
        decoder = nn.Sequential(
            *mlp(s.latent_dim + D, s.hidden, math.prod(small)), nn.ReLU(), nn.Unflatten(1, small),
            nn.ConvTranspose2d(2 * s.width, s.width, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(s.width, C, 4, stride=2, padding=1), nn.Flatten(),
        )  # fmt: skip
        return stem, encoder, decoder
