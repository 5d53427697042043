"""From a name or a folder to a trained model: runs on disk and the weights that ship (`zoo/`)."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from t2i_course import models
from t2i_course.contract import Data, Family, T2IError, Trainable, require, seed_of, unknown
from t2i_course.models.judges import Classifier
from t2i_course.places import runs_root
from t2i_course.training import checkpoints, engine
from t2i_course.training.engine import Run
from t2i_course.training.settings import TrainSettings

ZOO = Path(__file__).parent / "zoo"


def zoo_names() -> list[str]:
    """The models that ship with the package."""
    return sorted(path.parent.name for path in ZOO.glob("*/card.json"))


def find(name: str | Path) -> Path:
    """The checkpoint of a run's folder, of a checkpoint's folder, or of a name in `zoo_names()`.

    Raises:
        T2IError: if there is none; a name that is nearly one of the zoo's gets a suggestion.
    """
    if not Path(name).exists():
        if str(name) in zoo_names():
            return ZOO / str(name)
        if Path(name).name == str(name):  # a bare name, not a path
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
    family = checkpoints.read_json(folder, "config.json").get("family", {})
    require("name" in family, f"{folder / 'config.json'} does not say which family it is of.")
    model = models.build(family["name"], family.get("settings", {}))
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


def load_judge(data: str) -> Classifier:
    """The classifier whose features judge images of `data` ("fashion" or "sketches")."""
    judge = load(f"features-{data}")
    assert isinstance(judge, Classifier)
    return judge


def train(name: str, family: Trainable, data: Data, settings: TrainSettings) -> Run:
    """Train in the folder `runs/NAME-XXXXXXXX` that belongs to exactly these settings.

    So a notebook's cell that is run again goes on with, or simply reads, what it trained before;
    after any change of the settings or the data it trains anew, and the old run stays.
    See `training.engine.train`.
    """
    key = (family.name, family.settings.to_dict(), settings.to_dict(), data.card())
    digest = f"{seed_of(*key):016x}"[-8:]
    return engine.train(family, data, settings, runs_root() / f"{name}-{digest}")


def note(run: Path, **values: Any) -> None:
    """Add values to `run/run.json`, which says how the run came about."""
    run.mkdir(parents=True, exist_ok=True)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    aside = run / "run.writing"
    text = json.dumps({"started": started, **noted(run), **values}, indent=2)
    aside.write_text(text + "\n", encoding="utf-8")
    aside.replace(run / "run.json")


def noted(run: Path) -> dict[str, Any]:
    """What `note` wrote for that run; nothing for a folder that the command line did not make."""
    path = run / "run.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except ValueError:  # a damaged note is no reason to refuse the run
        return {}
