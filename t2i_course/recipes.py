"""What `t2i train NAME` trains: named, complete settings. Nothing heavy is imported here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from t2i_course.errors import T2IError, unknown

if TYPE_CHECKING:
    from t2i_course.contract import Trainable
    from t2i_course.training.settings import TrainSettings


@dataclass(frozen=True)
class Recipe:
    """A model, the data it is trained on, and for how long.

    Args:
        about: one line for the command line's help.
        family: its name in `models.FAMILIES`.
        data: "fashion", "sketches", "shapes", "shapes-64", "scenes", or photographs: "coco",
            "coco:0.1" (a fraction), or what else `data.photos.load` takes.
        epochs: of that data; the smoke profile does a few steps instead.
        settings: of the model, where they differ from its defaults.
        optimizer: of the model's networks, where it differs from the defaults.
        batch_size, precision, ema: see `TrainSettings`.
        sampling: how it is drawn from, where that differs from the family's defaults.
        text: the text model, for data with captions: see `texts.load`. The sizes of its conditions
            go before `settings`.
        augment: how training pictures are varied: see `data.augment.parse`.
    """

    about: str
    family: str
    data: str
    epochs: int
    settings: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    batch_size: int = 128
    precision: str = "fp32"
    ema: float = 0.0
    sampling: Mapping[str, Any] = field(default_factory=dict)
    text: str = "clip-tiny"
    augment: str = "none"


ADAM = {"lr": 1e-3}
JUDGE = {"lr": 2e-3, "weight_decay": 0.05, "schedule": "cosine", "warmup": 200}
READER = {
    "lr": 2e-3, "betas": (0.9, 0.99), "muon": 5e-3, "schedule": "cosine", "warmup": 50,
    "clip": 20.0,
}  # fmt: skip
CLIP = {"lr": 2e-3, "muon": 4e-3, "schedule": "cosine", "warmup": 30}

RECIPES = {
    "cvae-fashion": Recipe(
        "the second paper's one-hot CVAE, 50 epochs", "cvae", "fashion", 50, {}, ADAM,
        precision="auto",
    ),
    "vae-fashion": Recipe(
        "the same without the label", "vae", "fashion", 50, {}, ADAM, precision="auto"
    ),
    "autoencoder-fashion": Recipe(
        "an autoencoder with the mean squared error", "autoencoder", "fashion", 20, {}, ADAM
    ),
    "conv-cvae-fashion": Recipe(
        "a CVAE with convolutions, of the GAN's and the diffusion model's size",
        "conv-cvae", "fashion", 20, {},
        {"lr": 2e-3, "muon": 4e-3, "schedule": "cosine", "warmup": 100},
        precision="auto",
    ),
    "gan-fashion": Recipe(
        "a conditional GAN: projection discriminator, R1", "gan", "fashion", 12,
        {"gamma": 1.0, "drop": 0.15}, {"lr": 2e-3, "betas": (0.0, 0.99), "schedule": "cosine"},
        batch_size=32, precision="auto", ema=0.999,
    ),
    "diffusion-fashion": Recipe(
        "a small U-Net trained as a rectified flow", "diffusion", "fashion", 12,
        {"weak": (16, 32)},
        {"lr": 1e-3, "betas": (0.9, 0.99), "muon": 2.5e-3, "schedule": "cosine", "warmup": 50,
         "clip": 1.0},
        batch_size=64, precision="auto", ema=0.999,
        sampling={"guide": "weak", "w": 1.5, "steps": 16, "precision": "bf16"},
    ),
    "features-fashion": Recipe(
        "the classifier whose features judge FashionMNIST's generators",
        "classifier", "fashion", 24, {}, JUDGE, precision="auto",
    ),
    "features-sketches": Recipe(
        "the same for the drawn stand-in", "classifier", "sketches", 3, {}, JUDGE, precision="auto"
    ),
    "diffusion-shapes": Recipe(
        "draws shapes from a sentence: a U-Net that reads the tokens of `tiny`",
        "diffusion", "shapes", 15,
        {"image_shape": (3, 32, 32), "widths": (96, 128), "condition_dim": 128, "token_dim": 128,
         "shift": 3.0},
        {"lr": 2e-3, "betas": (0.9, 0.99), "muon": 5e-3, "schedule": "cosine", "warmup": 50,
         "clip": 1.0},
        batch_size=64, precision="auto", ema=0.999,
        sampling={"w": 3.0, "steps": 16, "precision": "bf16"},
    ),
    "gan-shapes": Recipe(
        "the same by a GAN that also learns which picture a sentence does not describe",
        "gan", "shapes", 15,
        {"image_shape": (3, 32, 32), "condition_dim": 128, "gamma": 1.0, "mismatched": 0.5},
        {"lr": 2e-3, "betas": (0.0, 0.99), "schedule": "cosine"},
        batch_size=32, precision="auto", ema=0.999,
    ),
    "cvae-shapes": Recipe(
        "the same by the CVAE with convolutions",
        "conv-cvae", "shapes", 15,
        {"image_shape": (3, 32, 32), "condition_dim": 128, "latent_dim": 64},
        {"lr": 2e-3, "muon": 4e-3, "schedule": "cosine", "warmup": 100},
        batch_size=64, precision="auto",
    ),
    "text-cvae-shapes": Recipe(
        "the same by the second paper's long-text CVAE",
        "text-cvae", "shapes", 15,
        {"image_shape": (3, 32, 32), "condition_dim": 128},
        {"lr": 1e-3, "schedule": "cosine", "warmup": 100},
        batch_size=64, precision="auto",
    ),
    "clip-tiny": Recipe(
        "the CLIP that reads and looks at drawn shapes", "clip", "shapes-64", 5, {}, CLIP,
        precision="auto",
    ),
    "prior-shapes": Recipe(
        "from a sentence's embedding by `tiny` to that of a picture, as unCLIP's prior",
        "prior", "shapes", 40, {}, {"lr": 2e-3, "schedule": "cosine", "warmup": 50},
        batch_size=256,
    ),
    "prior-photos": Recipe(
        "the same of photographs and their captions", "prior", "coco", 40, {},
        {"lr": 1e-3, "schedule": "cosine", "warmup": 50}, batch_size=256, text="clip-photos",
    ),
    "reader-shapes": Recipe(
        "the second opinion on drawn shapes: finds things, and says what they are",
        "scene-reader", "scenes", 3, {}, READER, batch_size=64, precision="bf16",
    ),
    "clip-photos": Recipe(
        "a CLIP of captioned photographs, by notebook 08's code", "clip", "coco", 20, {},
        {**CLIP, "weight_decay": 0.2}, precision="auto", augment="flip,crop=0.6",
    ),
    "clip-judge": Recipe(
        "another one, built otherwise, to judge what models draw that the first conditioned",
        "clip", "coco", 20,
        {"width": 12, "blocks": (1, 2, 2, 1), "text_layers": 2, "embed_dim": 96, "head_width": 32},
        {**CLIP, "weight_decay": 0.2}, precision="auto", augment="flip,crop=0.6",
    ),
    "diffusion-photos": Recipe(
        "draws photographs of 64 pixels from a sentence: a U-Net on patches that reads the tokens",
        "diffusion", "coco", 40,
        {"image_shape": (3, 64, 64), "patch": 4, "widths": (96, 192), "condition_dim": 128,
         "token_dim": 128, "shift": 2.0},
        {"lr": 2e-3, "betas": (0.9, 0.99), "muon": 5e-3, "schedule": "cosine", "warmup": 100,
         "clip": 1.0},
        batch_size=64, precision="auto", ema=0.999,
        sampling={"w": 3.0, "steps": 20, "precision": "bf16"},
        text="clip-photos", augment="flip",
    ),
    "gan-photos": Recipe(
        "the same by a GAN that also learns which photograph a sentence does not describe",
        "gan", "coco", 40,
        {"image_shape": (3, 64, 64), "condition_dim": 128, "latent_dim": 128, "gamma": 1.0,
         "mismatched": 0.5},
        {"lr": 1e-3, "betas": (0.0, 0.99), "schedule": "cosine"},
        batch_size=32, precision="auto", ema=0.999, text="clip-photos", augment="flip",
    ),
    "cvae-photos": Recipe(
        "the same by the CVAE with convolutions", "conv-cvae", "coco", 60,
        {"image_shape": (3, 64, 64), "condition_dim": 128, "latent_dim": 128, "hidden": 256},
        {"lr": 2e-3, "muon": 4e-3, "schedule": "cosine", "warmup": 100},
        batch_size=64, precision="auto", text="clip-photos", augment="flip",
    ),
    "paper-cvae-coco": Recipe(
        "the second paper's long-text CVAE on a tenth of COCO: 20 epochs at 224 pixels",
        "text-cvae", "coco:0.1", 20,
        {"image_shape": (3, 224, 224), "latent_dim": 128, "condition_dim": 512},
        {"lr": 1e-4}, batch_size=64, precision="auto", text="ViT-B-32/openai",
    ),
}  # fmt: skip


def recipe(name: str) -> Recipe:
    """The recipe of that name; `T2IError` with a suggestion if there is none."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]


def side(recipe: Recipe, changes: Mapping[str, Any]) -> int | None:
    """How many pixels a side the recipe's model takes, with these changes of its settings; None
    where they do not say."""
    settings = {**recipe.settings, **changes}
    if recipe.family in ("clip", "prior"):
        value = settings.get("image_size", 64)
    else:
        shape = settings.get("image_shape")
        value = shape[1] if isinstance(shape, list | tuple) and len(shape) == 3 else None
    return value if isinstance(value, int) and value > 0 else None


def prepare(
    recipe: Recipe,
    images: int,
    *,
    seed: int = 0,
    epochs: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    settings: Mapping[str, Any] | None = None,
    **training: Any,
) -> tuple["Trainable", "TrainSettings"]:
    """The fresh model and the settings that `training.engine.train` takes.

    Args:
        recipe: what to train.
        images: size of the training set, which turns epochs into steps.
        seed: of the first weights and of everything that is drawn.
        epochs, steps: how long, instead of the recipe's; `steps` wins.
        minutes: how long by the clock, instead of any of these.
        settings: of the model, over the recipe's.
        training: fields of `TrainSettings`, over the recipe's.

    Raises:
        T2IError: for a setting that does not exist or a value that is not allowed.
    """
    if minutes is not None and (epochs, steps) != (None, None):
        raise T2IError("Give minutes, or else steps or epochs: a run ends in one way only.")
    from t2i_course import models, profiles
    from t2i_course.training.settings import OptimizerSettings, TrainSettings

    profile = profiles.current()
    batch_size = training.pop("batch_size", recipe.batch_size)
    if steps is None and minutes is None:
        whole = math.ceil((epochs or recipe.epochs) * images / batch_size)
        smoke = 20 if epochs is None else whole
        steps = profile.pick(smoke=smoke, laptop=whole, gpu=whole)
    model = models.build(recipe.family, {**recipe.settings, **(settings or {})}, seed)
    optimizer = OptimizerSettings(**recipe.optimizer).to_dict()
    return model, TrainSettings.from_dict(
        {
            "steps": steps,
            "minutes": minutes,
            "batch_size": batch_size,
            "precision": recipe.precision,
            "seed": seed,
            "ema": recipe.ema,
            "optimizers": {name: optimizer for name in model.networks},
            **training,
        }
    )
