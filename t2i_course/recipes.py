"""What `t2i train NAME` trains: named, complete settings. Nothing heavy is imported here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from t2i_course.errors import unknown

if TYPE_CHECKING:
    from t2i_course.contract import Trainable
    from t2i_course.training.settings import TrainSettings


@dataclass(frozen=True)
class Recipe:
    """A model, the data it is trained on, and for how long.

    Args:
        about: one line for the command line's help.
        family: its name in `models.FAMILIES`.
        data: "fashion" or "sketches".
        epochs: of that data; the smoke profile does a few steps instead.
        settings: of the model, where they differ from its defaults.
        optimizer: of the model's only network, where it differs from the defaults.
        batch_size, precision: see `TrainSettings`.
    """

    about: str
    family: str
    data: str
    epochs: int
    settings: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    batch_size: int = 128
    precision: str = "fp32"


ADAM = {"lr": 1e-3}
JUDGE = {"lr": 2e-3, "weight_decay": 0.05, "schedule": "cosine", "warmup": 200}

RECIPES = {
    "cvae-fashion": Recipe(
        "the second paper's one-hot CVAE, 50 epochs", "cvae", "fashion", 50, {}, ADAM
    ),
    "vae-fashion": Recipe("the same without the label", "vae", "fashion", 50, {}, ADAM),
    "autoencoder-fashion": Recipe(
        "an autoencoder with the mean squared error", "autoencoder", "fashion", 20, {}, ADAM
    ),
    "features-fashion": Recipe(
        "the classifier whose features judge FashionMNIST's generators",
        "classifier", "fashion", 24, {}, JUDGE, precision="auto",
    ),
    "features-sketches": Recipe(
        "the same for the drawn stand-in", "classifier", "sketches", 3, {}, JUDGE, precision="auto"
    ),
}  # fmt: skip


def recipe(name: str) -> Recipe:
    """The recipe of that name; `T2IError` with a suggestion if there is none."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]


def prepare(
    recipe: Recipe,
    images: int,
    *,
    seed: int = 0,
    epochs: int | None = None,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    **training: Any,
) -> tuple["Trainable", "TrainSettings"]:
    """The fresh model and the settings that `training.engine.train` takes.

    Args:
        recipe: what to train.
        images: size of the training set, which turns epochs into steps.
        seed: of the first weights and of everything that is drawn.
        epochs, steps: how long, instead of the recipe's; `steps` wins.
        settings: of the model, over the recipe's.
        training: fields of `TrainSettings`, over the recipe's.

    Raises:
        T2IError: for a setting that does not exist or a value that is not allowed.
    """
    from t2i_course import models, profiles
    from t2i_course.training.settings import OptimizerSettings, TrainSettings

    profile = profiles.current()
    batch_size = training.pop("batch_size", recipe.batch_size)
    if steps is None:
        whole = math.ceil((epochs or recipe.epochs) * images / batch_size)
        smoke = 20 if epochs is None else whole
        steps = profile.pick(smoke=smoke, laptop=whole, gpu=whole)
    model = models.build(recipe.family, {**recipe.settings, **(settings or {})}, seed)
    optimizer = OptimizerSettings(**recipe.optimizer)
    return model, TrainSettings.from_dict(
        {
            "steps": steps,
            "batch_size": batch_size,
            "precision": recipe.precision,
            "seed": seed,
            "optimizers": {name: optimizer.to_dict() for name in model.networks},
            **training,
        }
    )
