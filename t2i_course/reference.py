"""Real images as every model is compared with them, and what they score themselves."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from t2i_course.contract import Features, require
from t2i_course.data.labelled import LabelledImages
from t2i_course.metrics.accuracy import ClassAccuracy
from t2i_course.metrics.frechet import Moments, frechet_distance, frechet_infinity
from t2i_course.metrics.inception_score import InceptionScore
from t2i_course.metrics.kid import kid
from t2i_course.metrics.near_copies import (
    QUANTILE,
    copy_ratios,
    nearest_others,
    share_near,
    thumbnails,
)
from t2i_course.metrics.precision_recall import Manifold
from t2i_course.models.judges import Classifier

BATCH = 500
BLOCKS = 10  # disjoint blocks of the samples, where a score is a mean over such


class Seen(NamedTuple):
    """Images as the metrics see them: the judge's features and logits, and thumbnails."""

    features: Tensor  # [N, D]
    logits: Tensor  # [N, K]
    pictures: Tensor  # [N, D_pixels]

    @classmethod
    def by(cls, judge: Classifier, images: Iterable[Tensor]) -> "Seen":
        """What the judge sees in batches of images `[B, C, H, W]` in [0, 1], joined."""
        seen = [(*judge.look(batch), thumbnails(batch)) for batch in images]
        return cls(*(torch.cat(parts) for parts in zip(*seen, strict=True)))


class Estimate(NamedTuple):
    """A value, and its standard error where disjoint blocks give one."""

    value: float
    error: float | None = None


@dataclass(frozen=True)
class Reference:
    """What samples are compared with, and what real images score; made by `Reference.of`.

    Args:
        features: the judge's.
        real: the manifold of the test set's features.
        moments: of the test set's features.
        train: thumbnails of all training images `[M, D_pixels]`.
        copy_ratios: of the test images against the training set `[N]`.
        nearest_others: among the first training images, as many as there are samples.
        bounds: the floor or ceiling of each score, by its short name.
    """

    features: Features
    real: Manifold
    moments: Moments
    train: Tensor
    copy_ratios: Tensor
    nearest_others: Tensor
    bounds: dict[str, float]

    @classmethod
    def of(
        cls, judge: Classifier, train: LabelledImages, test: LabelledImages, samples: int
    ) -> "Reference":
        """The reference for scores of so many samples; the last one is kept for the next call.

        Floors and ceilings are what the first training images, as many as there are samples, score
        against the test set; class accuracy and Inception Score are the test images' own. The floor
        of KID is 0, since it has no bias, and that of the near images their share by definition.

        Raises:
            T2IError: with fewer training images than samples, or a judge of other data.
        """
        require(
            judge.title == f"features-{test.name}",
            f"{judge.title} was not trained on {test.name}: use runs.load_judge({test.name!r}).",
        )
        require(
            len(train) >= samples,
            f"The floor takes as many training images as samples, and {train.title} has "
            f"{len(train):,} of the {samples:,}. Draw fewer samples.",
        )
        features = judge.features()
        key = (features.sha256, train.sha256, test.sha256, samples)
        if key not in _kept:
            _kept.clear()
            _kept[key] = _make(judge, features, train, test, samples)
        return _kept[key]

    def estimates(self, seen: Seen) -> dict[str, Estimate]:
        """The scores of samples, by short name; what they were asked to show is not looked at."""
        copies = share_near(copy_ratios(seen.pictures, self.train)[0], self.copy_ratios)
        duplicates = share_near(nearest_others(seen.pictures), self.nearest_others)
        return {
            **_compare(seen.features, self.real, self.moments),
            "inception": _inception(seen.logits),
            "near_copies": Estimate(copies),
            "near_duplicates": Estimate(duplicates),
        }


_kept: dict[tuple[str, str, str, int], Reference] = {}


def _make(
    judge: Classifier,
    features: Features,
    train: LabelledImages,
    test: LabelledImages,
    samples: int,
) -> Reference:
    seen = Seen.by(judge, pixels(test))
    first = Seen.by(judge, pixels(train[:samples]))
    pictures = torch.cat([thumbnails(batch) for batch in pixels(train)])
    real, moments = Manifold(seen.features), Moments.of(seen.features)
    bounds = {key: bound.value for key, bound in _compare(first.features, real, moments).items()}
    bounds |= {
        "kid": 0.0,
        "inception": _inception(seen.logits[:samples]).value,
        "class_accuracy": accuracy(seen.logits, test.labels).overall,
        "near_copies": QUANTILE,
        "near_duplicates": QUANTILE,
    }
    ratios, _ = copy_ratios(seen.pictures, pictures)
    others = nearest_others(first.pictures)
    return Reference(features, real, moments, pictures, ratios, others, bounds)


def _compare(features: Tensor, real: Manifold, moments: Moments) -> dict[str, Estimate]:
    """The scores that compare features `[N, D]` with those of the test set."""
    found = {"frechet": Estimate(frechet_distance(Moments.of(features), moments))}
    if len(features) // 4 > moments.dim:
        found["frechet_infinity"] = Estimate(frechet_infinity(features, moments))
    return found | {
        "kid": Estimate(*kid(features, real.features, BLOCKS)),
        "precision": Estimate(real.share_inside(features)),
        "recall": Estimate(Manifold(features).share_inside(real.features)),
    }


def _inception(logits: Tensor) -> Estimate:
    score = InceptionScore(len(logits), BLOCKS)
    score.update(logits)
    mean, std = score.compute()
    return Estimate(mean, std / (BLOCKS - 1) ** 0.5)


def accuracy(logits: Tensor, wanted: Tensor) -> ClassAccuracy:
    """How well logits `[N, K]` fit the wanted labels `[N]`."""
    result = ClassAccuracy(logits.shape[1])
    result.update(logits.argmax(1), wanted)
    return result


def pixels(images: LabelledImages) -> Iterator[Tensor]:
    """The images in batches `[B, C, H, W]` in [0, 1]."""
    for rows in batches(len(images)):
        yield images.pixels(rows)


def batches(count: int) -> Iterator[slice]:
    """Slices that cut so many rows into batches."""
    for start in range(0, count, BATCH):
        yield slice(start, min(start + BATCH, count))
