"""Scores of a model that draws from captions: its pictures as pictures, and against their words."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2i_course import alignment, runs, texts
from t2i_course.conditioning.clip import Clip
from t2i_course.conditioning.text import TextModel
from t2i_course.contract import Family, Settings, require, write_whole
from t2i_course.data import drawn, photos
from t2i_course.data.captioned import CaptionedImages
from t2i_course.data.images import in_8_bits
from t2i_course.data.shapes import PAIRS
from t2i_course.metrics.clip_score import clip_score
from t2i_course.metrics.cost import Cost, measure, parameters
from t2i_course.metrics.frechet import Moments, frechet_distance
from t2i_course.metrics.inception_score import InceptionScore
from t2i_course.metrics.retrieval import r_precision
from t2i_course.metrics.score import Score

LARGEST = 1000  # pictures of a kind that are drawn
CANDIDATES = 100  # captions among which a photograph's own is to be found
SCALE = 100.0  # of the cosines in zero-shot classification (Radford et al. 2021, section 3.1.2)


@dataclass(frozen=True)
class TextEvaluation:
    """What `evaluate` returns.

    Args:
        scores: "frechet", "inception", "clip_score", and "KIND: PART" of the exact reader for each
            kind of prompt, such as "one, held out: all", with "KIND: agreement" and "KIND: second
            only" of the exact and the trained reader (`alignment.score`); of photographs "frechet",
            "clip_score" and "retrieval".
        sampling: cost of drawing, the captions' encoding counted, the judging not.
        images: how many were drawn.
        parameters: of the model.
    """

    scores: dict[str, Score]
    sampling: Cost
    images: int
    parameters: int

    def write(self, path: Path, **about: Any) -> None:
        """Write the scores as JSON, with what else is known `about` the model; whole or not."""
        write_whole(path, json.dumps({**about, **asdict(self)}, indent=2) + "\n")


def evaluate_run(
    run: str | Path,
    family: Family,
    source: str,
    judge: str,
    samples: int,
    *,
    seed: int = 0,
    settings: Settings | None = None,
) -> TextEvaluation:
    """The scores of a run's model: see `evaluate` for drawn shapes and `evaluate_photos`.

    Args:
        run: see `runs.find`.
        family: its model.
        source: the data that it is judged on, as `runs.load_data` takes it.
        judge: of photographs: a CLIP, as `texts.load` takes it.
        samples: how many pictures in all, at most 1,000 of each kind of prompt.
        seed, settings: of the draws.

    Raises:
        T2IError: if the judge is no CLIP or the data cannot be had.
    """
    if source in drawn.SOURCES:
        count = min(LARGEST, max(1, samples // len(alignment.KINDS_OF_PROMPTS)))
        return evaluate(family, runs.load_clip(run), count, seed=seed, settings=settings)
    eyes = texts.load(judge)
    require(isinstance(eyes, Clip), f"{judge} is no CLIP: it cannot look at pictures.")
    assert isinstance(eyes, Clip)
    sets = [runs.load_data(source, split, family.image_shape[1]) for split in photos.SPLITS]
    for one in sets:
        require(
            isinstance(one, CaptionedImages),
            f"{source} is no folder of photographs as they are: give the one that the shards were "
            "made of by --data.",
        )
    train, test = sets
    assert isinstance(train, CaptionedImages) and isinstance(test, CaptionedImages)
    return evaluate_photos(
        family, runs.load_text(run), eyes, train, test, min(samples, LARGEST), seed=seed,
        settings=settings, candidates=min(CANDIDATES, samples, len(test), len(train)),
    )  # fmt: skip


@torch.no_grad()
def evaluate(
    family: Family,
    clip: Clip,
    count: int = 1000,
    *,
    seed: int = 0,
    settings: Settings | None = None,
) -> TextEvaluation:
    """Draw `count` prompts of each kind (`alignment.KINDS_OF_PROMPTS`) and score the pictures.

    The Fréchet distance and the Inception Score are in `clip`'s own features, since this data has
    no Inception: the score's classes are the pairs of colour and kind, told zero-shot. Where `clip`
    is also what the model was conditioned on, CLIP score and Fréchet distance judge it with its own
    teacher; the exact reader does not.

    Args:
        family: the model, trained on what `clip` makes of captions.
        clip: reads the prompts and looks at the pictures.
        count: of prompts of each kind.
        seed: of the draws.
        settings: of the family's sampling.
    """
    family.eval()
    encoder = clip.encoder_for(family.settings)
    scores: dict[str, Score] = {}
    images, drawings, others = [], [], []
    captions: list[str] = []
    costs = []
    for kind in alignment.KINDS_OF_PROMPTS:
        asked = alignment.prompts(kind, count, family.image_shape[1])
        with measure(family.device) as meter:
            pictures = alignment.drawn(family, encoder, asked.captions, seed, settings)
        costs.append(meter.cost)
        for part, score in alignment.score(pictures, asked, kind).items():
            scores[f"{kind}: {part}"] = score
        images.append(in_8_bits(pictures))
        drawings.append(asked.drawings / 255)
        others.append(alignment.prompts(kind, count, family.image_shape[1], seed=1).drawings / 255)
        captions += asked.captions
    features = {
        name: clip.images(torch.cat(parts))
        for name, parts in (("drawn", images), ("same", drawings), ("other", others))
    }
    words = clip.text(captions).vector
    assert words is not None
    return TextEvaluation(
        scores=_of_features(clip, features, words) | scores,
        sampling=sum(costs[1:], costs[0]),
        images=len(captions),
        parameters=parameters(family),
    )


@torch.no_grad()
def evaluate_photos(
    family: Family,
    reader: TextModel,
    judge: Clip,
    train: CaptionedImages,
    test: CaptionedImages,
    count: int = 1000,
    *,
    seed: int = 0,
    settings: Settings | None = None,
    candidates: int = CANDIDATES,
) -> TextEvaluation:
    """Draw a picture for the first caption of each of `count` held-out photographs, and score them
    by a CLIP that had no part in conditioning the model.

    "retrieval" is the share of pictures to which their own caption is nearest of `candidates`; it
    and "clip_score" stand between the same pictures with each other's captions (the floor) and the
    photographs themselves (the ceiling), and say how far they come of that way. The Fréchet
    distance is to the held-out photographs, its floor that of as many training ones.

    Args:
        family: the model.
        reader: the text model that it was trained on.
        judge: another one, which looks at pictures too.
        train, test: what it was trained on, and what was held out.
        count: of pictures, at most as many as there are in `test`.
        seed: of the draws.
        settings: of the family's sampling.

    Raises:
        T2IError: if the judge is what conditioned the model, or there are too few photographs.
    """
    require(
        judge.sha256 != reader.sha256,
        f"{reader.title} conditioned this model and cannot be its judge: give another CLIP, such "
        "as the run of `t2i train clip-judge`.",
    )
    N = min(count, len(test), len(train))
    require(
        max(candidates, 2) <= N,
        f"Of {candidates} captions one is to be found, and there are {N} photographs to draw for.",
    )
    family.eval()
    captions = [some[0] for some in test.captions[:N]]
    encoder = reader.encoder_for(family.settings)
    with measure(family.device) as meter:
        images = in_8_bits(alignment.drawn(family, encoder, captions, seed, settings))
    words = judge.text(captions).vector
    assert words is not None
    ours, real = judge.images(images), judge.images(test.pixels(slice(0, N)))
    other = judge.images(train.pixels(slice(0, N)))
    features = judge.features()
    about: dict[str, Any] = {
        "samples": N, "features": features.name, "features_sha256": features.sha256,
        "resize": features.resize, "reference": f"{test.title}, {N:,} images",
    }  # fmt: skip
    moments = [Moments.of(one.double()) for one in (ours, real, other)]
    scores = {
        "frechet": Score(
            "Fréchet distance", frechet_distance(moments[0], moments[1]),
            floor=frechet_distance(moments[2], moments[1]), **about,
        ),
    }  # fmt: skip
    share, low, high = r_precision(ours, words, candidates)
    mean, error = clip_score(ours, words)
    scores["retrieval"] = Score(
        f"caption found among {candidates}", share, low=low, high=high, interval="Wilson, 95 %",
        floor=r_precision(ours.roll(1, 0), words, candidates)[0],
        ceiling=r_precision(real, words, candidates)[0], **about,
    )  # fmt: skip
    scores["clip_score"] = Score(
        "CLIP score", mean, low=mean - 2 * error, high=mean + 2 * error,
        interval="2 standard errors", floor=clip_score(ours.roll(1, 0), words)[0],
        ceiling=clip_score(real, words)[0], note="100 cos", **about,
    )  # fmt: skip
    for key in ("retrieval", "clip_score"):
        scores[key] = _with_way(scores[key])
    return TextEvaluation(scores, meter.cost, N, parameters(family))


def _with_way(score: Score) -> Score:
    """The score with a note that says how much of the way from floor to ceiling it has come, and
    its interval."""
    assert score.floor is not None and score.ceiling is not None
    assert score.low is not None and score.high is not None
    way = score.ceiling - score.floor
    if way <= 0:
        said = "its ceiling is not above its floor: this judge cannot tell"
    else:
        parts = [(value - score.floor) / way for value in (score.value, score.low, score.high)]
        said = "{:.0%} of the way from shuffled captions to photographs ({:.0%} to {:.0%})".format(
            *parts
        )
    return replace(score, note="; ".join(filter(None, (score.note, said))))


def _of_features(clip: Clip, features: dict[str, Tensor], words: Tensor) -> dict[str, Score]:
    """The scores that are made of CLIP's embeddings, each with its floor or ceiling."""
    about: dict[str, Any] = {
        "samples": len(words), "features": clip.features().name, "features_sha256": clip.sha256,
        "resize": clip.features().resize,
    }  # fmt: skip
    moments = {name: Moments.of(one.double()) for name, one in features.items()}
    names = clip.text([f"a {colour} {kind}" for colour, kind in PAIRS]).vector
    assert names is not None
    inception = {name: _inception(SCALE * features[name] @ names.T) for name in ("drawn", "same")}
    clips = {name: clip_score(features[name], words)[0] for name in ("drawn", "same")}
    error = 2 * clip_score(features["drawn"], words)[1]
    real = f"{len(words):,} drawings of other prompts"
    return {
        "frechet": Score(
            "Fréchet distance", frechet_distance(moments["drawn"], moments["other"]),
            reference=real, floor=frechet_distance(moments["same"], moments["other"]), **about,
        ),
        "inception": Score(
            "Inception Score", inception["drawn"], ceiling=inception["same"],
            note="classes told zero-shot", **about,
        ),
        "clip_score": Score(
            "CLIP score", clips["drawn"], ceiling=clips["same"], low=clips["drawn"] - error,
            high=clips["drawn"] + error, interval="2 standard errors", note="100 cos", **about,
        ),
    }  # fmt: skip


def _inception(logits: Tensor) -> float:
    score = InceptionScore(len(logits), splits=1)
    score.update(logits)
    return score.compute()[0]
