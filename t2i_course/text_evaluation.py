"""Scores of a model that draws from captions: its pictures as pictures, and against their words."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2i_course import alignment
from t2i_course.conditioning.clip import Clip, clip_of
from t2i_course.conditioning.text import TextModel
from t2i_course.contract import Family, Settings, write_whole
from t2i_course.data.images import in_8_bits
from t2i_course.data.shapes import PAIRS
from t2i_course.metrics.clip_score import clip_score
from t2i_course.metrics.cost import Cost, measure, parameters
from t2i_course.metrics.frechet import Moments, frechet_distance
from t2i_course.metrics.inception_score import InceptionScore
from t2i_course.metrics.score import Score

SCALE = 100.0  # of the cosines in zero-shot classification (Radford et al. 2021, section 3.1.2)


@dataclass(frozen=True)
class TextEvaluation:
    """What `evaluate` returns.

    Args:
        scores: "frechet", "inception", "clip_score", and "KIND: PART" of the exact reader for each
            kind of prompt, such as "one, held out: all", with "KIND: agreement" and "KIND: second
            only" of the exact and the trained reader (`alignment.score`).
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


@torch.no_grad()
def evaluate(
    family: Family,
    reader: TextModel,
    count: int = 1000,
    *,
    seed: int = 0,
    settings: Settings | None = None,
) -> TextEvaluation:
    """Draw `count` prompts of each kind (`alignment.KINDS_OF_PROMPTS`) and score the pictures.

    The Fréchet distance and the Inception Score are in CLIP's own features, since this data has
    no Inception: the score's classes are the pairs of colour and kind, told zero-shot. Since CLIP
    is also what the model was conditioned on, CLIP score and Fréchet distance judge it with its own
    teacher; the exact reader does not.

    Args:
        family: the model, trained on what `reader` makes of captions.
        reader: reads the prompts; it, or the CLIP below a prior, looks at the pictures.
        count: of prompts of each kind.
        seed: of the draws.
        settings: of the family's sampling.
    """
    family.eval()
    encoder, clip = reader.encoder_for(family.settings), clip_of(reader)
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
