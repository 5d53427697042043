"""What several tests use: a tiny data set, and families small enough to train in a moment."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.contract import Condition, Family, RowGenerator, Settings, seeded_init
from t2i_course.data.labelled import LabelledImages
from t2i_course.models.vae import CVAE, CVAESettings


def tiny_images(n: int = 50, size: int = 4, classes: int = 3) -> LabelledImages:
    """Random pictures `[n, 1, size, size]` with labels; the same ones each time."""
    generator = torch.Generator().manual_seed(7)
    images = torch.randint(0, 256, (n, 1, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, classes, (n,), generator=generator)
    names = tuple(f"class {k}" for k in range(classes))
    return LabelledImages("tiny", "train", images, labels, names, torch.eye(classes))


@dataclass(frozen=True)
class NoSettings(Settings):
    """Nothing to set."""


class ToyGAN(Family):
    """Two networks with opposed losses on 4x4 images: what the engine must handle in turn."""

    name: ClassVar[str] = "toy-gan"
    settings_type: ClassVar[type[Settings]] = NoSettings

    def __init__(self, settings: Any = None, seed: int = 0):
        super().__init__()
        self.settings = settings or NoSettings()
        self.image_shape = (1, 4, 4)
        with seeded_init(seed):
            self.generator = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 16))
            self.discriminator = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def _fake(self, n: int, generator: RowGenerator) -> Tensor:
        return torch.sigmoid(self.generator(generator.normal(5)))

    def loss(self, name, images, condition, generator):
        fake = self._fake(len(images), generator)
        if name == "generator":
            return F.softplus(-self.discriminator(fake)).mean(), {}
        real = self.discriminator(images.flatten(1))
        return (F.softplus(-real) + F.softplus(self.discriminator(fake))).mean(), {
            "real": real.mean()
        }

    def sample(self, condition: Condition, generator: RowGenerator, settings: Any = None) -> Tensor:
        return self._fake(len(condition), generator).unflatten(1, self.image_shape)


class NormedGAN(ToyGAN):
    """With BatchNorm, as it is inside a norm that the condition modulates."""

    def __init__(self):
        super().__init__()
        self.generator.insert(1, nn.BatchNorm1d(8, affine=False))


def tiny_cvae(**settings: Any) -> CVAE:
    """A CVAE for `tiny_images`."""
    small = {"image_shape": (1, 4, 4), "latent_dim": 2, "hidden": 8, "condition_dim": 3}
    return CVAE(CVAESettings(**{**small, **settings}))
