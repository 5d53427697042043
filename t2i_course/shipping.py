"""For maintainers: how a trained model becomes one of the zoo's, with a card to check."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from t2i_course import alignment, evaluation, retrieval, runs, text_evaluation
from t2i_course.contract import Family, file_sha256, require
from t2i_course.data import drawn, fashion
from t2i_course.data.labelled import LabelledImages
from t2i_course.data.shapes import SPLITS
from t2i_course.metrics.frechet import whitening
from t2i_course.models.contrastive import TinyClip
from t2i_course.models.judges import Classifier
from t2i_course.models.prior import Prior
from t2i_course.models.scene_reader import SceneReader
from t2i_course.training import checkpoints, notes

LIMIT = 5_000_000  # bytes a file


@torch.no_grad()
def whiten(judge: Classifier, train: LabelledImages) -> None:
    """Give the judge the mean and whitening matrix of its features over the training set.

    Its weights are rounded to half precision first, as they will be shipped, so that what is
    whitened is what is used.
    """
    _round(judge)
    D = judge.settings.features
    judge.whiten(torch.zeros(D), torch.eye(D))
    judge.whiten(*whitening(evaluation.moments(judge.features(), train)))


@torch.no_grad()
def _round(model: torch.nn.Module) -> None:
    """To half precision, as it will be shipped, so that what is scored is what is used."""
    for parameter in model.parameters():
        parameter.copy_(parameter.half().float())


def ship(run: Path, name: str, tolerance: float = 0.1, zoo: Path = runs.ZOO) -> Path:
    """Put a finished run's model into the zoo: scored, in half precision, with its card.

    The card says data, command, seconds, scores, hash, and how the model was made that it started
    from, if any; remaking it by the command, from that start, means scores within `tolerance`
    (relative) of the card's.

    Args:
        run: its folder, made by `t2i train`.
        name: of the zoo's entry; an entry of that name is replaced.

    Raises:
        T2IError: if the weights would be larger than 5 MB.
    """
    source = runs.find(run)
    config = checkpoints.read_json(source, "config.json")
    require(
        "source" not in config["data"],
        f"{run} was trained on photographs ({config['data']['name']}): no such model ships.",
    )
    model = runs.load(run)
    data = runs.trained_on(run)
    require(
        not isinstance(model, Prior) and "encoder_source" not in config["data"],
        f"{run} reads by a text model that does not ship, or is one: only what `tiny` conditioned "
        "can be drawn from by others.",
    )
    if isinstance(model, TinyClip):
        scores = retrieval.scores(model.clip())
    elif isinstance(model, SceneReader):
        _round(model)
        scores = {
            f"{split}_wholly_right": alignment.wholly_right(model, split).value for split in SPLITS
        }
    elif isinstance(model, Classifier):
        train, test = (fashion.load(split, data) for split in ("train", "test"))
        whiten(model, train)
        scores = {"test_accuracy": evaluation.judge_accuracy(model, test)}
    elif data in drawn.SOURCES:
        assert isinstance(model, Family)
        settings = runs.sampling_settings(run, model, {})
        judged = text_evaluation.evaluate(model, runs.load_text(run), 500, settings=settings)
        scores = {key: score.value for key, score in judged.scores.items()}
    else:
        assert isinstance(model, Family)
        train, test = (fashion.load(split, data) for split in ("train", "test"))
        settings = runs.sampling_settings(run, model, {})
        result = evaluation.evaluate(
            model, runs.load_judge(data), train, test,
            samples=min(10_000, len(train) // 10 * 10), settings=settings, progress=True,
        )  # fmt: skip
        scores = {key: score.value for key, score in result.scores.items()}
    weights, noted = model.state_dict(), notes.noted(Path(run))
    for parameter_name, _ in model.named_parameters():  # buffers keep their full precision
        weights[parameter_name] = weights[parameter_name].half()
    aside = zoo / f".{name}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    file = aside / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in weights.items()}, file)
    size = file.stat().st_size
    require(size <= LIMIT, f"{name} would be {size:,} bytes; the zoo takes {LIMIT:,} a file.")
    shutil.copy(source / "config.json", aside / "config.json")
    card: dict[str, Any] = {
        **checkpoints.read_json(source, "card.json"),
        "command": noted.get("command", ""),
        **({"start": noted["start"]} if "start" in noted else {}),
        "data": config["data"],
        "files": {file.name: file_sha256(file)},
        "scores": scores,
        "tolerance": tolerance,
    }
    text = json.dumps(card, indent=2, sort_keys=True)
    (aside / "card.json").write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(zoo / name, ignore_errors=True)
    return aside.rename(zoo / name)
