"""Starting a training from the weights of a trained model (`t2i train NAME --from MODEL`)."""

from pathlib import Path
from typing import Any

from t2i_course import runs
from t2i_course.contract import Data, Trainable, require
from t2i_course.training import checkpoints
from t2i_course.training.notes import noted

ENCODERS = ("encoder", "encoder_sha256")  # of a data card: whose words a model was trained on
KEPT = ("command", "data", "start", "step", "trained_seconds")


def start_from(name: str | Path, model: Trainable, data: Data, folder: Path) -> dict[str, Any]:
    """Give a fresh `model` the weights of a trained one (see `runs.find`) before it is trained on
    `data` in `folder`; a run that is there already keeps its own.

    Returns:
        How the trained one was made, for the new run's note: its "model" (the name), "weights"
        (their hash), and what is known of its command, data, steps, seconds and own start.

    Raises:
        T2IError: as `runs.load`; for a model of another family or size, or one that was trained on
            another text model's words; if the run in `folder` started from something else.
    """
    if checkpoints.latest(folder) is not None:
        start: dict[str, Any] = noted(folder).get("start", {"model": "fresh weights"})
        require(
            start["model"] == str(name),
            f"{folder} holds a run that started from {start['model']}, not from {name}. "
            "Choose another folder, or remove that one to start anew.",
        )
        return start
    checkpoint = runs.find(name)
    found = runs.load(checkpoint)
    require(
        found.name == model.name,
        f"{name} is a {found.name}: a {model.name} cannot start from it.",
    )
    there, here = found.settings.to_dict(), model.settings.to_dict()
    sizes = {key: value.shape for key, value in model.state_dict().items()}
    require(
        sizes == {key: value.shape for key, value in found.state_dict().items()},
        f"{name} has other sizes: "
        + ", ".join(
            f"{k} {there[k]} there and {here[k]} here" for k in there if there[k] != here[k]
        )
        + ". Make them equal by --set.",
    )
    config = checkpoints.read_json(checkpoint, "config.json")
    read, reads = ({k: each.get(k) for k in ENCODERS} for each in (config["data"], data.card()))
    require(
        read == reads,
        f"{name} was trained on the words of {read['encoder']}, and this one is to read those of "
        f"{reads['encoder']}: give both one --text.",
    )
    model.load_state_dict(found.state_dict())
    about = {"data": config["data"], **runs.card(checkpoint), **noted(checkpoint.parent)}
    files = about.get("files", {})
    weights = files.get("ema.safetensors", files.get("weights.safetensors"))
    return {"model": str(name), "weights": weights} | {k: about[k] for k in KEPT if k in about}
