"""From a name or a folder to a trained model: runs on disk and the weights that ship (`zoo/`)."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from t2i_course import models, profiles, recipes, texts
from t2i_course.conditioning import clip
from t2i_course.conditioning.cache import cached, remembered
from t2i_course.conditioning.keywords import words_of
from t2i_course.conditioning.text import TextModel
from t2i_course.conditioning.tokenizer import pieces_of
from t2i_course.contract import (
    Data,
    Family,
    Settings,
    T2IError,
    Trainable,
    require,
    seed_of,
    unknown,
)
from t2i_course.data import augment, drawn, fashion, photos
from t2i_course.data.captioned import CaptionedImages
from t2i_course.data.labelled import LabelledImages
from t2i_course.data.scenes import NAME, DrawnScenes, scenes
from t2i_course.data.shards import ShardedImages
from t2i_course.loading import load_checkpoint
from t2i_course.models.contrastive import TinyClip, pairs
from t2i_course.models.judges import Classifier
from t2i_course.models.prior import Embeddings, Prior
from t2i_course.models.scene_reader import SceneReader
from t2i_course.places import runs_root, shown
from t2i_course.recipes import RECIPES, Recipe
from t2i_course.training import checkpoints, checks, engine
from t2i_course.training.engine import Run
from t2i_course.training.notes import note, noted
from t2i_course.training.settings import TrainSettings

ZOO = Path(__file__).parent / "zoo"
Images = LabelledImages | CaptionedImages | ShardedImages | DrawnScenes
TWICE = 2  # so often a word must be written in captions for a CLIP to have it
WHERE = ("source", "encoder_source")  # of a card: where data was found, not which it is


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
    return load_checkpoint(find(name), ema=ema)


def load_family(name: str | Path, *, ema: bool = True) -> Family:
    """As `load`, for a model that draws images; `T2IError` for one that does not."""
    model = load(name, ema=ema)
    require(isinstance(model, Family), f"{name} is a {model.name}: it does not draw images.")
    assert isinstance(model, Family)
    return model


def load_data(source: str, split: str, size: int | None = None) -> Images:
    """The images of `source` ("fashion", "sketches", "shapes" or "shapes-64") and `split`, or those
    of "scenes", which are of the splits that `data.scenes.MIX` names, or photographs with captions:
    see `data.photos.load`.

    Args:
        size: pixels of a side, of photographs; 64 by default.

    Raises:
        T2IError: if there is no such data, or it is not on this machine.
    """
    if source == NAME:
        return scenes(profiles.current().pick(smoke=0.05, laptop=1.0, gpu=1.0))
    if source in drawn.SOURCES:
        share = profiles.current().pick(smoke=0.05, laptop=1.0, gpu=1.0)
        return drawn.mixed(split, share, source)
    if source in fashion.SOURCES:
        return fashion.load(split, source)
    if photos.known(source):
        return photos.load(source, split, size or photos.SIZE)
    if Path(source).name != source:
        raise T2IError(
            f"There is no folder {source}: give the path of one with images and their captions."
        )
    raise unknown("data", source, (*fashion.SOURCES, *drawn.SOURCES, NAME, *photos.names()))


def reader_for(recipe: Recipe, data: Images, text: str | None = None) -> TextModel | None:
    """The text model that a recipe's model is conditioned by on this data, or the one that `text`
    names (see `texts.load`); None where there is nothing to be read, or the model learns to read.

    Raises:
        T2IError: if there is no such text model, or no use for one.
    """
    captioned = isinstance(data, CaptionedImages | ShardedImages)
    if captioned and recipe.family != TinyClip.name:
        assert isinstance(data, CaptionedImages | ShardedImages)
        return texts.load(text or recipe.text, data.all_captions())
    why = "a CLIP learns to read by itself" if captioned else f"{data.name!r} has no captions"
    require(text is None, f"There is no use for --text {text}: {why}.")
    return None


def sizes_for(recipe: Recipe, data: Images, reader: TextModel | None) -> dict[str, Any]:
    """The settings of a recipe's model that follow from its data and its text model: how large
    conditions are, and which words a CLIP of photographs has of its own."""
    if not isinstance(data, CaptionedImages | ShardedImages):
        return {}
    if recipe.family == TinyClip.name:
        counts = Counter(word for text in data.all_captions() for word in words_of(text))
        often = [word for word, n in counts.items() if n >= TWICE]
        return {} if data.name in drawn.SOURCES else {"pieces": pieces_of(often)}
    if reader is None:
        return {}
    sizes = {"condition_dim": reader.dim}
    if recipe.settings.get("token_dim", 0) > 0:
        sizes["token_dim"] = reader.token_dim
    return sizes


# Of 16 captions of a drawn picture that a model learns to draw from, how many are its first, which
# says everything: after a short one many pictures are right, and little is learned from each.
SAYS_ALL = 12


def data_for(
    model: Trainable,
    data: Images,
    reader: TextModel | None = None,
    augmentation: augment.Augmentation | None = None,
) -> Images | Embeddings:
    """The same data with the conditions that the model is trained on.

    Args:
        reader: what makes them of captions; by default `tiny`. What it makes of photographs'
            captions is kept on disk (`conditioning.cache`), that of drawn ones in memory.
        augmentation: how pictures are varied; None for not at all.

    Raises:
        T2IError: for data that is none for this model.
    """
    require(
        isinstance(model, SceneReader) == isinstance(data, DrawnScenes),
        f"A {model.name} cannot be trained on {data.name!r}: scenes are for the scene reader, and "
        "nothing else is.",
    )
    if not isinstance(data, CaptionedImages | ShardedImages):
        who = "CLIP" if isinstance(model, TinyClip) else "prior"
        require(
            not isinstance(model, TinyClip | Prior),
            f"A {who} learns from captions, and {data.name!r} has none: train it on shapes or on "
            "photographs.",
        )
        require(
            augmentation is None and reader is None,
            f"{data.name!r} has no captions, so there is no text to encode, and its pictures are "
            "not varied: leave out --text and --augment.",
        )
        return data
    if isinstance(model, Family):
        require(
            tuple(model.image_shape) == tuple(data.image_shape),
            f"This {model.name} draws images {list(model.image_shape)}, and those of {data.name!r} "
            f"are {list(data.image_shape)}: choose another recipe, or --set image_shape.",
        )
    if augmentation is not None:
        data = replace(data, augmentation=augmentation)
    if isinstance(model, TinyClip):
        # What is drawn is described in full by the first caption; people's are all alike in that.
        return pairs(data, model.tokenizer, full=4 if data.name in drawn.SOURCES else 1)
    reader = reader or clip.load()
    if isinstance(model, Prior):
        _check_prior(data, reader)
    encoder = reader.encoder_for(model.settings)
    if encoder.of_images is not None:
        return replace(data, encoder=encoder)
    if data.name in drawn.SOURCES:
        encoder = remembered(encoder)
    elif reader.costly:
        captions = data.all_captions()
        encoder = cached(encoder, captions=captions, progress=checks.main_process())
    data = replace(data, encoder=encoder)
    if isinstance(model, Prior):
        assert isinstance(data, CaptionedImages) and isinstance(reader, clip.Clip)
        return Embeddings(data, reader, checks.main_process())
    if data.name in drawn.SOURCES:
        assert isinstance(data, CaptionedImages)
        return data.weighted(SAYS_ALL)
    return data


def _check_prior(data: CaptionedImages | ShardedImages, reader: TextModel) -> None:
    """Raise `T2IError` for what a prior cannot learn from, before captions are encoded for it."""
    require(
        isinstance(reader, clip.Clip),
        f"A prior takes a CLIP, which looks at pictures: {reader.name} does not.",
    )
    require(
        isinstance(data, CaptionedImages) and data.augmentation is None,
        "A prior learns from pictures as they are, in memory: leave out --augment, and give the "
        "folder and not its shards.",
    )


def reads(name: str | Path) -> bool:
    """Whether a model (see `find`) was trained on captions."""
    return bool(checkpoints.read_json(find(name), "config.json").get("data", {}).get("encoder"))


def load_text(name: str | Path) -> TextModel:
    """The text model whose words a model (see `find`) was trained on.

    Raises:
        T2IError: for a model that is not conditioned on text, or if its text model is not there any
            more or is another one now.
    """
    return texts.of_checkpoint(find(name), str(name))


def load_clip(name: str | Path) -> clip.Clip:
    """The CLIP that a model (see `find`) reads by, or that stands below its prior; `T2IError` for
    one that reads by something else."""
    return clip.clip_of(load_text(name))


def card(name: str | Path) -> dict[str, Any]:
    """What a model (see `find`) says of its making: steps, seconds, memory, versions."""
    return dict(checkpoints.read_json(find(name), "card.json"))


def trained_on(name: str | Path) -> str:
    """The data that a model (see `find`) was trained on, as `load_data` takes it: a name such as
    "fashion", or a path."""
    folder = find(name)
    data = checkpoints.read_json(folder, "config.json").get("data")
    if not isinstance(data, dict) or "name" not in data:
        path = folder / "config.json"
        raise T2IError(f"{path} does not say which data the model was trained on.")
    return str(data.get("source") or data["name"])


def draws_shapes(name: str | Path) -> bool:
    """Whether a model (see `find`) was trained on drawn shapes, and not on photographs."""
    return trained_on(name) in drawn.SOURCES


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
    card = {key: value for key, value in data.card().items() if key not in WHERE}
    key = [family.name, family.seed, family.settings.to_dict(), settings.to_dict(), card]
    digest = f"{seed_of(json.dumps(key, sort_keys=True)):016x}"[-8:]
    folder = runs_root() / f"{name}-{digest}"
    return engine.train(family, data, settings, folder, progress=progress)


def follow(
    name: str,
    run: Path,
    data: Images,
    *,
    command: str,
    stopped: str,
    reader: TextModel | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    **how: Any,
) -> Run:
    """Train the recipe `name` in the folder `run`, as a part of something larger, or go on with it.

    Args:
        data: what is trained on, without its conditions; see `data_for`, as for `reader`.
        command: what makes such a run, for its note.
        stopped: what to say if it is interrupted.
        seed, settings, how: see `recipes.prepare`.

    Raises:
        T2IError: if it was interrupted, or the folder holds a run of other settings.
    """
    recipe = recipes.recipe(name)
    sizes = {**sizes_for(recipe, data, reader), **(settings or {})}
    model, training = recipes.prepare(recipe, len(data), seed=seed, settings=sizes, **how)
    note(run, recipe=name, source=data.name, command=command)
    conditioned = data_for(model, data, reader, augment.parse(recipe.augment))
    result = engine.train(model, conditioned, training, run)
    require(result.finished, stopped)
    return result


def sampling_settings(name: str | Path, family: Family, changes: Mapping[str, Any]) -> Settings:
    """How a model (see `find`) is drawn from: its recipe's sampling settings and `changes`.

    Raises:
        T2IError: for a setting that the family's sampling does not have.
    """
    recipe = RECIPES.get(noted(Path(name)).get("recipe", str(name)))
    return family.sampling_type.from_dict({**(recipe.sampling if recipe else {}), **changes})


def next_command(run: Path) -> str:
    """What one does with a run that has just ended."""
    config, folder = checkpoints.read_json(find(run), "config.json"), shown(run)
    family, data = models.FAMILIES[config["family"]["name"]], config["data"]
    if not issubclass(family, Family):
        shapes = data["name"] in drawn.SOURCES
        if family is Prior or (family is TinyClip and not shapes):
            return f"t2i train diffusion-{'shapes' if shapes else 'photos'} --text {folder}"
        return f"t2i ship {folder}"
    prompt = ' --prompt "…"' if "encoder" in data and data["name"] not in drawn.SOURCES else ""
    return f"t2i sample {folder}{prompt}"
