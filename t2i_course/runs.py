"""From a name or a folder to a trained model: runs on disk and the weights that ship (`zoo/`)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from t2i_course import models, profiles
from t2i_course.conditioning import clip
from t2i_course.conditioning.cache import remembered
from t2i_course.contract import (
    Data,
    Family,
    Settings,
    T2IError,
    Trainable,
    require,
    seed_of,
    unknown,
    write_whole,
)
from t2i_course.data import drawn, fashion
from t2i_course.data.captioned import CaptionedImages
from t2i_course.data.labelled import LabelledImages
from t2i_course.data.scenes import NAME, DrawnScenes, scenes
from t2i_course.models.contrastive import TinyClip, pairs
from t2i_course.models.judges import Classifier
from t2i_course.models.scene_reader import SceneReader
from t2i_course.places import runs_root
from t2i_course.recipes import RECIPES
from t2i_course.training import checkpoints, checks, engine
from t2i_course.training.engine import Run
from t2i_course.training.settings import TrainSettings

ZOO = Path(__file__).parent / "zoo"


def zoo_names() -> list[str]:
    """The models that ship with the package."""
    return sorted(path.parent.name for path in ZOO.glob("*/card.json"))


def find(name: str | Path) -> Path:
    """The checkpoint of a shipped model, of a run's folder, or of a checkpoint's folder.

    A bare name that ships means the shipped model; write `./name` for a folder of that name.

    Raises:
        T2IError: if there is none; a name that is nearly one of the zoo's gets a suggestion.
    """
    if str(name) in zoo_names():
        return ZOO / str(name)
    if not Path(name).exists() and Path(name).name == str(name):  # a bare name, not a path
        raise unknown("run folder or shipped model", name, zoo_names())
    return checkpoints.find(name)


def load(name: str | Path, *, ema: bool = True) -> Trainable:
    """A trained model, in evaluation mode on the CPU in float32.

    Args:
        name: see `find`.
        ema: load the running average of the weights where there is one.

    Raises:
        T2IError: if there is no such model, or its files are damaged or pickles.
    """
    folder = find(name)
    family = checkpoints.read_json(folder, "config.json")["family"]
    model = models.build(str(family.get("name")), family.get("settings"))
    averaged = ema and (folder / "ema.safetensors").is_file()
    weights = checkpoints.read_tensors(folder, "ema" if averaged else "weights")
    try:
        model.load_state_dict({key: value.float() for key, value in weights.items()})
    except RuntimeError as error:
        raise T2IError(
            f"The weights in {folder} do not fit the settings in its config.json: {error}."
        ) from error
    return model.eval()


def load_family(name: str | Path, *, ema: bool = True) -> Family:
    """As `load`, for a model that draws images; `T2IError` for one that does not."""
    model = load(name, ema=ema)
    require(isinstance(model, Family), f"{name} is a {model.name}: it does not draw images.")
    assert isinstance(model, Family)
    return model


def load_data(source: str, split: str) -> LabelledImages | CaptionedImages | DrawnScenes:
    """The images of `source` ("fashion", "sketches", "shapes" or "shapes-64") and `split`, or those
    of "scenes", which are of the splits that `data.scenes.MIX` names.

    Raises:
        T2IError: if there is no such data, or it is not on this machine.
    """
    if source == NAME:
        return scenes(profiles.current().pick(smoke=0.05, laptop=1.0, gpu=1.0))
    if source in drawn.SOURCES:
        count = profiles.current().pick(smoke=2_000, laptop=drawn.COUNT, gpu=drawn.COUNT)
        return drawn.shapes(split, count, source)
    if source not in fashion.SOURCES:
        raise unknown("data", source, (*fashion.SOURCES, *drawn.SOURCES, NAME))
    return fashion.load(split, source)


def data_for(
    model: Trainable, data: LabelledImages | CaptionedImages | DrawnScenes
) -> LabelledImages | CaptionedImages | DrawnScenes:
    """The same data with the conditions that the model is trained on."""
    require(
        isinstance(model, SceneReader) == isinstance(data, DrawnScenes),
        f"A {model.name} cannot be trained on {data.name!r}: scenes are for the scene reader, and "
        "nothing else is.",
    )
    if isinstance(model, TinyClip):
        require(
            isinstance(data, CaptionedImages),
            f"A CLIP learns from captions, and {data.name!r} has none: train it on shapes.",
        )
        assert isinstance(data, CaptionedImages)
        return pairs(data, model.tokenizer)
    if isinstance(data, CaptionedImages):
        return replace(data, encoder=remembered(clip.load().encoder_for(model.settings)))
    return data


def load_clip(name: str | Path) -> clip.Clip:
    """The CLIP whose words a model (see `find`) was trained on.

    Raises:
        T2IError: for a model that is not conditioned on text.
    """
    folder = find(name)
    encoder = checkpoints.read_json(folder, "config.json").get("data", {}).get("encoder")
    require(
        isinstance(encoder, str) and encoder.startswith("clip-"),
        f"{name} does not read prompts: it was trained on labels. Draw from it without --prompt.",
    )
    return clip.load(str(encoder).removeprefix("clip-"))


def card(name: str | Path) -> dict[str, Any]:
    """What a model (see `find`) says of its making: steps, seconds, memory, versions."""
    return dict(checkpoints.read_json(find(name), "card.json"))


def trained_on(name: str | Path) -> str:
    """The name of the data that a model (see `find`) was trained on, such as "fashion"."""
    folder = find(name)
    data = checkpoints.read_json(folder, "config.json").get("data")
    if not isinstance(data, dict) or "name" not in data:
        path = folder / "config.json"
        raise T2IError(f"{path} does not say which data the model was trained on.")
    return str(data["name"])


def load_judge(data: str) -> Classifier:
    """The classifier whose features judge images of `data` ("fashion" or "sketches")."""
    name = f"features-{data}"
    if name not in zoo_names():
        raise unknown("judge", name, [name for name in zoo_names() if name.startswith("features")])
    judge = load(ZOO / name)  # a folder of that name elsewhere is nobody's judge
    assert isinstance(judge, Classifier)
    judge.title = name
    return judge


def train(
    name: str, family: Trainable, data: Data, settings: TrainSettings, *, progress: bool = True
) -> Run:
    """Train in the folder `runs/NAME-XXXXXXXX` that belongs to exactly these settings and data.

    So a notebook's cell that is run again goes on with, or simply reads, what it trained before;
    after any change of the settings or the data it trains anew, and the old run stays.
    See `training.engine.train`.

    Raises:
        T2IError: for a family that is not in `models.FAMILIES`, such as a notebook's own class: it
            could not be loaded again. `engine.train` without a folder trains it.
    """
    require(
        models.FAMILIES.get(family.name) is type(family),
        f"{type(family).__name__} is not one of the package's families, so its run could not be "
        "loaded again. Train it with engine.train(family, data, settings), which keeps no folder.",
    )
    key = [family.name, family.seed, family.settings.to_dict(), settings.to_dict(), data.card()]
    digest = f"{seed_of(json.dumps(key, sort_keys=True)):016x}"[-8:]
    folder = runs_root() / f"{name}-{digest}"
    return engine.train(family, data, settings, folder, progress=progress)


def sampling_settings(name: str | Path, family: Family, changes: Mapping[str, Any]) -> Settings:
    """How a model (see `find`) is drawn from: its recipe's sampling settings and `changes`.

    Raises:
        T2IError: for a setting that the family's sampling does not have.
    """
    recipe = RECIPES.get(noted(Path(name)).get("recipe", str(name)))
    return family.sampling_type.from_dict({**(recipe.sampling if recipe else {}), **changes})


def note(run: Path, **values: Any) -> None:
    """Write `run/run.json`, which says how the run came about; the first sitting's word stands."""
    if checks.main_process() and not (run / "latest").exists():
        started = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps({"started": started, **values}, indent=2)
        write_whole(run / "run.json", text + "\n")


def noted(run: Path) -> dict[str, Any]:
    """What `note` wrote for that run; nothing for a folder that the command line did not make."""
    try:
        return dict(json.loads((run / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # a damaged note is no reason to refuse the run
        return {}
