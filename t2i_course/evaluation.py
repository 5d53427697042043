"""Scores of a trained model: every number with its floor or ceiling, and what it depends on."""

import dataclasses
import functools
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from t2i_course.contract import (
    Condition,
    Family,
    Features,
    RowGenerator,
    require,
    tensors_sha256,
    write_whole,
)
from t2i_course.data.images import in_8_bits
from t2i_course.data.labelled import LabelledImages
from t2i_course.metrics.cost import Cost, measure, parameters
from t2i_course.metrics.frechet import Moments
from t2i_course.metrics.score import Score
from t2i_course.models.judges import Classifier
from t2i_course.models.vae import VAE
from t2i_course.reference import BLOCKS, Estimate, Reference, Seen, accuracy, batches, pixels

NAMES = {
    "frechet": "Fréchet distance",
    "frechet_infinity": "Fréchet distance at infinite samples",
    "kid": "KID",
    "inception": "Inception Score",
    "class_accuracy": "class accuracy",
    "precision": "precision",
    "recall": "recall",
    "near_copies": "near copies of training images",
    "near_duplicates": "near duplicates among the samples",
    "negative_elbo": "negative ELBO",
    "kl": "KL part of it",
}
WITH_CEILING = ("inception", "class_accuracy", "precision", "recall")  # higher is better
OF_PICTURES = ("near_copies", "near_duplicates")  # not of features
OF_TEST_IMAGES = ("negative_elbo", "kl")  # not of samples


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` returns.

    Args:
        scores: by short name, see `NAMES`; "frechet_infinity" takes over four times as many samples
            as features, "class_accuracy" a conditional model, "negative_elbo" and "kl" a VAE.
        per_class: class accuracy by class name; empty for samples without labels.
        class_shares: the share of samples that the judge puts in each class, by class name.
        sampling: cost of drawing the samples, the judging not counted.
        images: how many samples were drawn, over all seeds.
        parameters: of the model.
        weights_sha256: of the model's weights.
        seed: of the draws, the first one.
        seeds: how many there were: `seed` and those that follow.
        settings: the sampling settings that were given; empty for the family's defaults.
        features: of the first seed's samples, float32 `[samples, D]`; not written.
    """

    scores: dict[str, Score]
    per_class: dict[str, float]
    class_shares: dict[str, float]
    sampling: Cost
    images: int
    parameters: int
    weights_sha256: str
    seed: int
    seeds: int
    settings: dict[str, Any]
    features: Tensor = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the features."""
        values = dataclasses.asdict(self)
        del values["features"]
        return values

    def write(self, path: Path, **about: Any) -> None:
        """Write the scores as JSON, with what else is known `about` the model; whole or not."""
        write_whole(path, json.dumps({**about, **self.to_dict()}, indent=2) + "\n")


def moments(features: Features, images: LabelledImages) -> Moments:
    """Mean and covariance of the features of a set of images, in batches."""
    result = Moments(features.dim)
    for batch in pixels(images):
        result.update(features(batch))
    return result


def judge_accuracy(judge: Classifier, images: LabelledImages) -> float:
    """The share of real images that the judge puts in their own class."""
    return accuracy(Seen.by(judge, pixels(images)).logits, images.labels).overall


@torch.no_grad()
def negative_elbo(model: VAE, images: LabelledImages, seed: int = 0) -> tuple[float, float]:
    """The negative ELBO and its KL part, nats an image, β = 1, one latent drawn an image."""
    total, total_kl = 0.0, 0.0
    for rows in batches(len(images)):
        generator = RowGenerator(seed, "elbo", rows=range(rows.start, rows.stop))
        x, condition = images.pixels(rows), images.condition(images.labels[rows])
        reconstruction, kl = model.elbo_terms(
            x.to(model.device), condition.to(model.device), generator
        )
        total += (reconstruction + kl).double().sum().item()
        total_kl += kl.double().sum().item()
    return total / len(images), total_kl / len(images)


def evaluate(
    family: Family,
    judge: Classifier,
    train: LabelledImages,
    test: LabelledImages,
    *,
    samples: int = 10_000,
    seed: int = 0,
    seeds: int = 1,
    settings: Any = None,
    conditional: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Draw samples of every class in equal numbers and score them against the test set.

    With several seeds a score is the median over them, and its interval reaches from the smallest
    to the largest: of five, these enclose the median of all seeds in 1 - 2 / 2⁵ = 94 % of cases.
    With one seed only the scores that are means over disjoint blocks have an interval.

    Args:
        family: the model; one without labels draws without a condition.
        judge: see `runs.load_judge`; it must be the one trained on this data.
        train: what the model was trained on. See `reference.Reference.of` for floors and ceilings.
        test: what the samples are compared with.
        samples: how many to draw with each seed, a multiple of the number of classes.
        seed: of the draws.
        seeds: draw with so many seeds, `seed`, `seed` + 1, …: one, or at least five.
        settings: the family's sampling settings; None for its defaults.
        conditional: False to draw without a condition from a family that has a null for it.
        progress: show a bar.

    Raises:
        T2IError: if `samples` cannot be shared out equally, for 2 to 4 seeds, with fewer training
            images than samples, or with a judge of other data.
    """
    K = len(test.classes)
    require(
        samples >= 100 and samples % K == 0,
        f"samples must be at least 100 and a multiple of the {K} classes, not {samples}.",
    )
    require(
        seeds == 1 or seeds >= 5,
        f"An interval takes at least 5 sampling seeds, not {seeds}; take 1 to do without.",
    )
    reference = Reference.of(judge, train, test, samples)
    family.eval()
    labelled = family.conditional and conditional
    wanted = torch.arange(samples) % K
    condition = test.condition(wanted) if labelled else Condition.none(samples)
    draws, found = [], []
    costs: list[Cost] = []
    with tqdm(
        total=seeds * samples, desc="evaluate", unit="image", disable=not progress, mininterval=1
    ) as bar:
        for each in range(seed, seed + seeds):
            draw = Seen.by(judge, _drawn(family, condition, each, settings, costs, bar))
            draws.append(draw)
            found.append(reference.estimates(draw))
            if labelled:
                right = accuracy(draw.logits, wanted).overall
                found[-1]["class_accuracy"] = Estimate(right)
            if isinstance(family, VAE):
                nats = negative_elbo(family, test, each)
                found[-1] |= dict(zip(OF_TEST_IMAGES, map(Estimate, nats), strict=True))
    scores = {}
    for key in NAMES:
        if key in found[0]:
            about = _about(key, family, reference, train, test, samples)
            scores[key] = _score(NAMES[key], [one[key] for one in found], **about)
    logits = torch.cat([draw.logits for draw in draws])
    shares = logits.argmax(1).bincount(minlength=K) / len(logits)
    per_class = accuracy(logits, wanted.repeat(seeds)).per_class.tolist() if labelled else []
    return Evaluation(
        scores=scores,
        per_class=dict(zip(test.classes, per_class, strict=labelled)),
        class_shares=dict(zip(test.classes, shares.tolist(), strict=True)),
        sampling=functools.reduce(Cost.__add__, costs),
        images=len(logits),
        parameters=parameters(family),
        weights_sha256=tensors_sha256(family.state_dict()),
        seed=seed,
        seeds=seeds,
        settings={} if settings is None else dataclasses.asdict(settings),
        features=draws[0].features,
    )


@torch.no_grad()
def _drawn(
    family: Family, condition: Condition, seed: int, settings: Any, costs: list[Cost], bar: tqdm
) -> Iterator[Tensor]:
    """Batches of samples, one for each row of the condition; what each batch cost joins `costs`."""
    for rows in batches(len(condition)):
        generator = RowGenerator(seed, "sample", rows=range(rows.start, rows.stop))
        with measure(family.device) as meter:
            images = family.sample(condition[rows].to(family.device), generator, settings).cpu()
        costs.append(meter.cost)
        bar.update(len(images))
        yield in_8_bits(images)


def _score(name: str, found: list[Estimate], **about: Any) -> Score:
    """One score of the estimates of all seeds, with its interval where there is one."""
    values, error = [one.value for one in found], found[0].error
    if len(values) > 1:
        about |= {"interval": f"{len(values)} sampling seeds"}
        about |= {"low": min(values), "high": max(values)}
    elif error is not None:
        about |= {"interval": f"2 standard errors of {BLOCKS} disjoint blocks"}
        about |= {"low": values[0] - 2 * error, "high": values[0] + 2 * error}
    return Score(name, statistics.median(values), **about)


def _about(
    key: str,
    family: Family,
    reference: Reference,
    train: LabelledImages,
    test: LabelledImages,
    samples: int,
) -> dict[str, Any]:
    """What a score depends on, as the fields of `Score`."""
    notes = ["data: the package's drawn stand-in, not FashionMNIST"] if test.stand_in else []
    if key in OF_TEST_IMAGES:
        assert isinstance(family, VAE)
        notes.insert(0, f"nats an image, {family.settings.likelihood}, one latent an image")
        return {"samples": len(test), "reference": _named(test), "note": "; ".join(notes)}
    about: dict[str, Any] = {"samples": samples}
    about["ceiling" if key in WITH_CEILING else "floor"] = reference.bounds[key]
    if key in OF_PICTURES:
        notes.insert(0, "pictures averaged over 2x2 pixels")
    else:
        features = reference.features
        about |= {"features": features.name, "features_sha256": features.sha256}
        about["resize"] = features.resize
    if key in OF_PICTURES:
        about["reference"] = _named(train if key == "near_copies" else train[:samples])
    elif key not in ("inception", "class_accuracy"):
        about["reference"] = _named(test)
    return about | {"note": "; ".join(notes)}


def _named(images: LabelledImages) -> str:
    return f"{images.title}, {len(images):,} images"
