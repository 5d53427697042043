"""Small networks that look at pictures: what the metrics' features come from."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.contract import (
    Condition,
    Features,
    RowGenerator,
    Settings,
    Trainable,
    require,
    seeded_init,
    tensors_sha256,
)

CHUNK = 50  # images looked at together: what stays in a CPU's caches; 500 take twice the time


@dataclass(frozen=True)
class ClassifierSettings(Settings):
    """Sizes of `Classifier`.

    Args:
        image_shape: (C, H, W), H and W multiples of 4.
        classes: K.
        width: channels of the first convolutions; the later ones have twice as many.
        features: D, the size of the feature vector.
    """

    image_shape: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10
    width: int = 32
    features: int = 64

    def __post_init__(self) -> None:
        _, H, W = self.image_shape
        require(
            min(self.image_shape) >= 1 and H % 4 == 0 and W % 4 == 0,
            f"H and W must be multiples of 4, not {H} and {W}.",
        )
        for name in ("classes", "width", "features"):
            value = getattr(self, name)
            require(1 <= value <= 10_000, f"{name} must be from 1 to 10,000, not {value}.")


class Classifier(Trainable):
    """A small convolutional classifier, and with it the features of our Fréchet distances.

    Four 3x3 convolutions (two of stride 2), a linear layer to D features, ReLU, K logits. The
    features that it hands out are whitened by the training set (`whiten`): zero mean and unit
    covariance there, so that a distance between them is in units of the data's own spread.
    """

    name: ClassVar[str] = "classifier"
    settings_type: ClassVar[type[Settings]] = ClassifierSettings
    settings: ClassifierSettings
    title: str = "a classifier of no name"  # what its scores are labelled with
    mean: Tensor
    whitener: Tensor

    def __init__(self, settings: ClassifierSettings | None = None, seed: int = 0):
        super().__init__()
        self.settings = s = settings or ClassifierSettings()
        self.seed = seed
        (C, H, W), width = s.image_shape, s.width
        with seeded_init(seed):
            self.body = nn.Sequential(
                nn.Conv2d(C, width, 3, padding=1), nn.ReLU(),
                nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(),
                nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(),
                nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1), nn.ReLU(),
                nn.Flatten(),
                nn.Linear(2 * width * (H // 4) * (W // 4), s.features),
            )  # fmt: skip
            self.head = nn.Linear(s.features, s.classes)
        self.body.to(memory_format=torch.channels_last)  # faster on a CPU
        self.register_buffer("mean", torch.zeros(s.features))
        self.register_buffer("whitener", torch.eye(s.features))

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"classifier": self}

    def raw_features(self, images: Tensor) -> Tensor:
        """Images `[B, C, H, W]` in [0, 1] to features `[B, D]` before whitening."""
        require(
            tuple(images.shape[1:]) == tuple(self.settings.image_shape),
            f"This classifier takes images [B, {', '.join(map(str, self.settings.image_shape))}]; "
            f"it was given {list(images.shape)}. Resize them first, and say so beside the score.",
        )
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """Images `[B, C, H, W]` in [0, 1] to logits `[B, K]`."""
        return self.head(F.relu(self.raw_features(images)))

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy against the condition's one-hot label; half of the images are mirrored,
        and all are shifted by up to two pixels each way."""
        assert condition.vector is not None
        mirrored = generator.uniform().to(images.device) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        logits = self(shift(images, generator.integers(-2, 3, 2).to(images.device)))
        accuracy = (logits.argmax(1) == condition.vector.argmax(1)).float().mean()
        return F.cross_entropy(logits, condition.vector), {"accuracy": accuracy}

    def whiten(self, mean: Tensor, whitener: Tensor) -> None:
        """From now on `features` gives W (f − μ): μ `[D]` and W `[D, D]` of the training set."""
        self.mean.copy_(mean)
        self.whitener.copy_(whitener)

    @torch.no_grad()
    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Whitened features `[B, D]` and logits `[B, K]` of images `[B, C, H, W]` in [0, 1]."""
        features, logits = [], []
        for chunk in images.split(CHUNK):
            raw = self.raw_features(chunk.to(self.device)).float()
            features.append((raw - self.mean) @ self.whitener.T)
            logits.append(self.head(F.relu(raw)))
        return torch.cat(features), torch.cat(logits)

    def features(self) -> Features:
        """The whitened features, under this judge's title and the hash of its weights."""
        sha256 = tensors_sha256(self.state_dict())
        return Features(
            self.title, sha256, self.settings.features, lambda images: self.look(images)[0]
        )


def shift(images: Tensor, by: Tensor) -> Tensor:
    """Images `[B, C, H, W]` moved by whole pixels (down, right) `[B, 2]`; black comes in."""
    B, _, H, W = images.shape
    room = int(by.abs().max()) if B else 0
    padded = F.pad(images, (room,) * 4)
    rows = torch.arange(H, device=images.device) + room - by[:, :1]  # [B, H]
    columns = torch.arange(W, device=images.device) + room - by[:, 1:]  # [B, W]
    each = torch.arange(B, device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)
