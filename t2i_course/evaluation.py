"""Scores of a trained model: every number with its floor or ceiling, and what it depends on."""

import dataclasses
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
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
from t2i_course.data.labelled import LabelledImages
from t2i_course.metrics.accuracy import ClassAccuracy
from t2i_course.metrics.cost import Cost, measure, parameters
from t2i_course.metrics.frechet import Moments, frechet_distance
from t2i_course.metrics.inception_score import InceptionScore
from t2i_course.metrics.score import Score
from t2i_course.models.judges import Classifier
from t2i_course.models.vae import VAE

BATCH = 500


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` returns.

    Args:
        scores: by short name: "frechet", "inception", "class_accuracy", "negative_elbo", "kl".
        per_class: class accuracy by class name; empty for a model without labels.
        sampling: cost of drawing the samples, the judging not counted.
        images: how many samples were drawn.
        parameters: of the model.
        weights_sha256: of the model's weights.
        seed: of the draws.
    """

    scores: dict[str, Score]
    per_class: dict[str, float]
    sampling: Cost
    images: int
    parameters: int
    weights_sha256: str
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

    def write(self, path: Path, **about: Any) -> None:
        """Write the scores as JSON, with what else is known `about` the model; whole or not."""
        write_whole(path, json.dumps({**about, **self.to_dict()}, indent=2) + "\n")


def moments(features: Features, images: LabelledImages) -> Moments:
    """Mean and covariance of the features of a set of images, in batches."""
    result = Moments(features.dim)
    for rows in _batches(len(images)):
        result.update(features(images.pixels(rows)))
    return result


@torch.no_grad()
def judge_accuracy(judge: Classifier, images: LabelledImages) -> float:
    """The share of real images that the judge puts in their own class."""
    accuracy = ClassAccuracy(len(images.classes))
    for rows in _batches(len(images)):
        accuracy.update(judge(images.pixels(rows)).argmax(1), images.labels[rows])
    return accuracy.overall


@torch.no_grad()
def negative_elbo(model: VAE, images: LabelledImages, seed: int = 0) -> tuple[float, float]:
    """The negative ELBO and its KL part, nats an image, β = 1, one latent drawn an image."""
    total, total_kl = 0.0, 0.0
    for rows in _batches(len(images)):
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
    progress: bool = False,
) -> Evaluation:
    """Draw samples of every class in equal numbers and score them against the test set.

    Args:
        family: the model; one without labels draws without a condition.
        judge: see `runs.load_judge`; it must be the one trained on this data.
        train: the floor is its first images, as many as samples are drawn, against the test set.
        test: what the samples are compared with.
        samples: how many to draw, a multiple of the number of classes.
        seed: of the draws.
        progress: show a bar.

    Raises:
        T2IError: if `samples` cannot be shared out equally.
    """
    K = len(test.classes)
    require(
        samples >= 100 and samples % K == 0,
        f"samples must be at least 100 and a multiple of the {K} classes, not {samples}.",
    )
    require(
        judge.title == f"features-{test.name}",
        f"{judge.title} was not trained on {test.name}: use runs.load_judge({test.name!r}).",
    )
    family.eval()
    features = judge.features()
    labels = torch.arange(samples) % K
    drawn, accuracy = Moments(features.dim), ClassAccuracy(K)
    inception = InceptionScore(samples)
    sampling = Cost(0.0, 0.0, 0)
    bar = tqdm(total=samples, desc="evaluate", unit="image", disable=not progress, mininterval=1)
    with torch.no_grad(), bar:
        for rows in _batches(samples):
            wanted = labels[rows]
            condition = (
                test.condition(wanted) if family.conditional else Condition.none(len(wanted))
            )
            generator = RowGenerator(seed, "sample", rows=range(rows.start, rows.stop))
            with measure(family.device) as meter:
                images = family.sample(condition.to(family.device), generator).cpu()
            sampling = sampling + meter.cost
            logits = judge(images)
            drawn.update(features(images))
            inception.update(logits)
            accuracy.update(logits.argmax(1), wanted)
            bar.update(len(wanted))
    real, real_floor = moments(features, test), moments(features, train[:samples])
    note = "data: the package's drawn stand-in, not FashionMNIST" if test.stand_in else ""
    against = f"{test.title}, {len(test):,} images"
    judged = functools.partial(
        Score,
        samples=samples,
        features=features.name,
        features_sha256=features.sha256,
        resize=features.resize,
        note=note,
    )
    scores = {
        "frechet": judged(
            name="Fréchet distance",
            value=frechet_distance(drawn, real),
            reference=against,
            floor=frechet_distance(real_floor, real),
        ),
        "inception": judged(
            name="Inception Score",
            value=inception.compute()[0],
            ceiling=_real_inception(judge, test[:samples]),
        ),
    }
    per_class: dict[str, float] = {}
    if family.conditional:
        scores["class_accuracy"] = judged(
            name="class accuracy", value=accuracy.overall, ceiling=judge_accuracy(judge, test)
        )
        per_class = dict(zip(test.classes, accuracy.per_class.tolist(), strict=True))
    if isinstance(family, VAE):
        how = f"nats an image, {family.settings.likelihood}, one latent an image"
        how += f"; {note}" if note else ""
        for key, name, value in zip(
            ("negative_elbo", "kl"),
            ("negative ELBO", "KL part of it"),
            negative_elbo(family, test, seed),
            strict=True,
        ):
            scores[key] = Score(name, value, len(test), reference=against, note=how)
    weights = tensors_sha256(family.state_dict())
    count = parameters(family)
    return Evaluation(scores, per_class, sampling, samples, count, weights, seed)


@torch.no_grad()
def _real_inception(judge: Classifier, test: LabelledImages) -> float:
    score = InceptionScore(len(test))
    for rows in _batches(len(test)):
        score.update(judge(test.pixels(rows)))
    return score.compute()[0]


def _batches(count: int) -> Iterator[slice]:
    for start in range(0, count, BATCH):
        yield slice(start, min(start + BATCH, count))
