"""From a checkpoint's folder to the model that is in it."""

from pathlib import Path

from t2i_course import models
from t2i_course.contract import T2IError, Trainable
from t2i_course.training import checkpoints


def load_checkpoint(folder: Path, *, ema: bool = True) -> Trainable:
    """The model in evaluation mode on the CPU in float32.

    Args:
        folder: of a checkpoint.
        ema: load the running average of the weights where there is one.

    Raises:
        T2IError: if its files are damaged or pickles.
    """
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
