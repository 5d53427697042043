"""Scores of a model that draws photographs from captions: how real, and how much of the sentence.

No exact reader knows what a photograph shows. So a CLIP that the model was not conditioned on
judges it, and each score stands between two others of the same judge: real photographs with their
own captions (the ceiling) and drawn ones with each other's captions (the floor).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from t2i_course import alignment, runs, texts
from t2i_course.conditioning.clip import Clip
from t2i_course.conditioning.text import TextModel
from t2i_course.contract import Family, Settings, T2IError, require, write_whole
from t2i_course.data import photos
from t2i_course.data.captioned import CaptionedImages
from t2i_course.data.images import in_8_bits
from t2i_course.metrics.clip_score import clip_score
from t2i_course.metrics.cost import Cost, measure, parameters
from t2i_course.metrics.frechet import Moments, frechet_distance
from t2i_course.metrics.inception import Inception
from t2i_course.metrics.inception_score import InceptionScore
from t2i_course.metrics.near_copies import copy_ratios, is_near, share_near, thumbnails
from t2i_course.metrics.retrieval import r_precision
from t2i_course.metrics.score import Score

CANDIDATES = 100  # R of R-precision (Xu et al. 2018)


@dataclass(frozen=True)
class PhotoEvaluation:
    """What `evaluate` returns.

    Args:
        scores: "frechet", "clip_score", "retrieval", "of_the_way", "near_copies"; with Inception
            also "fid" and "inception".
        sampling: cost of drawing, the captions' encoding counted.
        images: the pictures, uint8 `[N, 3, S, S]`.
        captions: their N captions.
        parameters: of the model.
    """

    scores: dict[str, Score]
    sampling: Cost
    images: Tensor
    captions: list[str]
    parameters: int

    def write(self, path: Path, **about: Any) -> None:
        """Write the scores as JSON, with what else is known `about` the model; whole or not."""
        scores = {key: score.to_dict() for key, score in self.scores.items()}
        known = {"scores": scores, "sampling": asdict(self.sampling), "images": len(self.images),
                 "parameters": self.parameters}  # fmt: skip
        write_whole(path, json.dumps({**about, **known}, indent=2) + "\n")


def sets_of(source: str, side: int | None) -> tuple[CaptionedImages, CaptionedImages]:
    """Training and held-out photographs of a source, of `side` pixels; `T2IError` for shards."""
    train, test = (runs.load_data(source, split, side) for split in photos.SPLITS)
    if not isinstance(train, CaptionedImages) or not isinstance(test, CaptionedImages):
        raise T2IError(
            f"{source} is no folder of photographs with captions. (Shards are for training alone: "
            "scores need the pictures themselves.)"
        )
    return train, test


def judge_of(spec: str) -> Clip:
    """The CLIP that `texts.load` finds under this name; `T2IError` for a model that is none."""
    found = texts.load(spec)
    require(isinstance(found, Clip), f"{spec} is no CLIP and cannot look at pictures.")
    assert isinstance(found, Clip)
    return found


class Photographs(NamedTuple):
    """What the judges make of the photographs themselves, whatever a model draws.

    Attributes:
        words, real: embeddings `[N, D]` of N held-out captions and their photographs.
        train: of as many training photographs.
        by_inception: "real" and "train" as `Inception.seen` has them; empty without it.
    """

    words: Tensor
    real: Tensor
    train: Tensor
    by_inception: dict[str, tuple[Tensor, Tensor]]

    @classmethod
    def of(
        cls, judge: Clip, inception: Inception | None, train: CaptionedImages,
        test: CaptionedImages, count: int,
    ) -> "Photographs":  # fmt: skip
        """Those of the first `count` of `test`; the last ones are kept for the next call."""
        known = inception.sha256 if inception else ""
        key = (judge.sha256, known, train.sha256, test.sha256, count)
        if key not in _kept:
            real = test.pixels(slice(0, count))
            others = train.pixels(torch.arange(count) * len(train) // count)
            words = judge.text([each[0] for each in test.captions[:count]]).vector
            assert words is not None
            looked = {"real": real, "train": others} if inception else {}
            _kept.clear()
            _kept[key] = cls(
                words, judge.images(real), judge.images(others),
                {name: inception.seen(x) for name, x in looked.items() if inception},
            )  # fmt: skip
        return _kept[key]


_kept: dict[tuple[str, str, str, str, int], Photographs] = {}


@torch.no_grad()
def evaluate(
    family: Family,
    reader: TextModel,
    judge: Clip,
    train: CaptionedImages,
    test: CaptionedImages,
    count: int = 1000,
    *,
    seed: int = 0,
    settings: Settings | None = None,
    inception: Inception | None = None,
) -> PhotoEvaluation:
    """Draw the first captions of `count` held-out photographs and score what comes.

    "retrieval" is the share of pictures whose own caption is nearest among R; "of_the_way" is
    where it stands from its floor (0) to its ceiling (1). The Fréchet distance is in the judge's
    features, against the held-out photographs, its floor that of as many training photographs.
    "near_copies" are found by pixels; 1 % of real photographs would count as one.

    Args:
        family: the model.
        reader: what it was conditioned on.
        judge: a CLIP with other weights.
        train, test: what the model was trained on, and what was held out.
        count: how many to draw: from 2 to the number of held-out photographs. R is 100, or `count`
            if that is less.
        seed: of the draws.
        settings: of the family's sampling.
        inception: for FID and the Inception Score, or None.

    Raises:
        T2IError: for a count that does not fit, or a judge that is the model's own teacher.
    """
    require(
        2 <= count <= len(test),
        f"count must be from 2 to the {len(test):,} held-out images, not {count}.",
    )
    require(
        judge.sha256 != reader.encoder().sha256,
        f"{judge.name} is what the model was conditioned on: another CLIP must judge it.",
    )
    family.eval()
    captions = [each[0] for each in test.captions[:count]]
    with measure(family.device) as meter:
        drawn = alignment.drawn(
            family, reader.encoder_for(family.settings), captions, seed, settings
        )
    drawn = in_8_bits(drawn)
    of = Photographs.of(judge, inception, train, test, count)
    seen = judge.images(drawn)
    about: dict[str, Any] = {
        "samples": count, "features": judge.title, "features_sha256": judge.sha256,
        "resize": judge.features().resize,
    }  # fmt: skip
    against = f"{count:,} photographs of {test.title}"
    scores = _of_words(seen, of.real, of.words, about)
    scores["frechet"] = Score(
        "Fréchet distance", _distance(seen, of.real), reference=against,
        floor=_distance(of.train, of.real), **about,
    )  # fmt: skip
    scores["near_copies"] = near_copies(drawn, test.pixels(slice(0, count)), train)
    if inception is not None:
        scores |= _by_inception(inception, drawn, of, against)
    return PhotoEvaluation(
        scores, meter.cost, (drawn * 255).round().to(torch.uint8), captions, parameters(family)
    )


def _of_words(
    drawn: Tensor, real: Tensor, words: Tensor, about: dict[str, Any]
) -> dict[str, Score]:
    """CLIP score and retrieval, each between its floor and its ceiling."""
    shuffled, R = words.roll(1, 0), min(CANDIDATES, len(words))
    value, error = clip_score(drawn, words)
    clip = Score(
        "CLIP score", value, floor=clip_score(drawn, shuffled)[0],
        ceiling=clip_score(real, words)[0], low=value - 2 * error, high=value + 2 * error,
        interval="2 standard errors", note="100 cos", **about,
    )  # fmt: skip
    share, low, high = r_precision(drawn, words, R)
    floor = r_precision(drawn, shuffled, R)[0]
    ceiling = r_precision(real, words, R)[0]
    retrieval = Score(
        f"caption found among {R}", share, floor=floor, ceiling=ceiling, low=low,
        high=high, interval="95 % over prompts (Wilson)", **about,
    )  # fmt: skip
    scores = {"clip_score": clip, "retrieval": retrieval}
    if ceiling > floor:
        part, least, most = ((each - floor) / (ceiling - floor) for each in (share, low, high))
        scores["of_the_way"] = Score(
            "retrieval, of the way from floor to ceiling", part, low=least, high=most,
            interval="95 % over prompts (Wilson), floor and ceiling taken as known", **about,
        )  # fmt: skip
    return scores


def near_copies(drawn: Tensor, real: Tensor, train: CaptionedImages, side: int = 16) -> Score:
    """The share of pictures `[N, 3, S, S]` nearer to a training picture than 99 % of unseen real
    ones are (`metrics.near_copies`), as thumbnails of `side` pixels."""
    of_drawn, of_real = _copy_ratios(drawn, real, train, side)
    return Score(
        "near copies of training images", share_near(of_drawn, of_real),
        samples=len(drawn), floor=share_near(of_real, of_real),
        reference=f"{len(train):,} photographs of {train.title}",
        note=f"by pixels, at most {side} a side",
    )  # fmt: skip


def near_ones(drawn: Tensor, real: Tensor, train: CaptionedImages, side: int = 16) -> Tensor:
    """Which of the pictures `near_copies` counts: bool `[N]`. They are not to be shown."""
    return is_near(*_copy_ratios(drawn, real, train, side))


def _copy_ratios(
    drawn: Tensor, real: Tensor, train: CaptionedImages, side: int
) -> tuple[Tensor, Tensor]:
    """Of the drawn pictures and of the real ones, see `copy_ratios`."""
    seen = torch.cat([thumbnails(part / 255, side) for part in train.images.split(512)])
    of_drawn, of_real = (copy_ratios(thumbnails(x, side), seen)[0] for x in (drawn, real))
    return of_drawn, of_real


def _distance(a: Tensor, b: Tensor) -> float:
    return frechet_distance(Moments.of(a.double()), Moments.of(b.double()))


def _by_inception(
    inception: Inception, drawn: Tensor, of: Photographs, against: str
) -> dict[str, Score]:
    about: dict[str, Any] = {
        "samples": len(drawn), "features": inception.features.name,
        "features_sha256": inception.sha256, "resize": inception.features.resize,
    }  # fmt: skip
    seen = {**of.by_inception, "drawn": inception.seen(drawn)}
    values = {}
    for name in ("drawn", "real"):
        score = InceptionScore(len(drawn), splits=1)
        score.update(seen[name][1])
        values[name] = score.compute()[0]
    return {
        "fid": Score(
            "FID", _distance(seen["drawn"][0], seen["real"][0]), reference=against,
            floor=_distance(seen["train"][0], seen["real"][0]), **about,
        ),
        "inception": Score("Inception Score", values["drawn"], ceiling=values["real"], **about),
    }  # fmt: skip
