"""Text models by name, path or description: whatever makes conditions of captions."""

from collections.abc import Iterable
from pathlib import Path

from t2i_course.conditioning import clip, sentence
from t2i_course.conditioning.keywords import Keywords
from t2i_course.conditioning.text import TextModel
from t2i_course.contract import T2IError, require
from t2i_course.data.words import STOP_WORDS
from t2i_course.loading import load_checkpoint
from t2i_course.models.prior import Prior, PriorText
from t2i_course.places import runs_root, shown
from t2i_course.training import checkpoints

COUNT = 256  # keywords, unless another number is asked for
MADE = ("clip-photos", "clip-judge", "prior-shapes", "prior-photos")  # by recipes
KINDS = (
    "clip-tiny, the run of a CLIP or a prior of your own such as clip-photos, an open_clip model "
    "as ViT-B-32/laion2b_s34b_b79k or ViT-B-32/FILE, a folder of sentence-transformers or "
    "sentence:NAME, or keywords:256"
)


def load(spec: str | Path, captions: Iterable[str] = ()) -> TextModel:
    """A frozen text model.

    Args:
        spec: "clip-tiny"; the folder of a run of a CLIP or a prior, or its name where runs are
            kept; an open_clip model and its weights, by tag or file, with a slash between; a folder
            that sentence-transformers wrote, or "sentence:" and a name in its cache;
            "keywords:256", so many of the most frequent words; or what such a model calls its
            `source`.
        captions: of the training set, from which keywords are chosen.

    Raises:
        T2IError: if there is none, or it cannot be loaded.
    """
    text = str(spec)
    if text in ("tiny", "clip-tiny"):
        return clip.load()
    kind, _, rest = text.partition(":")
    if kind == "keywords":
        require(
            not rest or rest.isdecimal(), f"{text!r}: write the number of keywords as keywords:256."
        )
        return Keywords.of(captions, int(rest or COUNT), STOP_WORDS)
    if kind == "words":
        return Keywords(rest.split())
    if kind == "sentence":
        return sentence.load(rest)
    folder = next((path for path in (Path(spec), runs_root() / text) if path.is_dir()), None)
    if folder is not None:
        return _of_folder(folder)
    model, _, weights = text.partition("/")
    if model in _open_clip_models():
        file = Path(weights).resolve() if Path(weights).is_file() else None
        found = clip.load(model, None if file else weights or None, file=file)
        found.source = f"{model}/{file or weights}"
        return found
    where = shown(runs_root() / text)
    train = f" `t2i train {text}` makes {where}." if text in MADE else ""
    raise T2IError(f"There is no text model {text!r}.{train} Give --text as {KINDS}.")


def of_checkpoint(folder: Path, name: str) -> TextModel:
    """The text model that the model in a checkpoint's folder was conditioned by.

    Raises:
        T2IError: for a model that is not conditioned on text, or if its text model is not there any
            more or is another one now; by the `name` of the model.
    """
    data = checkpoints.read_json(folder, "config.json").get("data", {})
    encoder, source = data.get("encoder"), data.get("encoder_source")
    require(
        isinstance(encoder, str) and encoder != "ids",
        f"{name} does not read prompts: it was trained on labels. Draw from it without --prompt.",
    )
    reader = load(str(source or encoder))
    require(
        source is None or reader.encoder().sha256 == data.get("encoder_sha256"),
        f"{name} was trained on what {encoder} made of captions, and what is now found as "
        f"{str(source)[:80]!r} has other weights: put back the one that it was, or train again.",
    )
    return reader


def _of_folder(folder: Path) -> TextModel:
    """A sentence encoder's folder, or the run of a CLIP or of a prior."""
    if (folder / "modules.json").is_file():
        return sentence.load(folder)
    checkpoint = checkpoints.find(folder)
    family = checkpoints.read_json(checkpoint, "config.json")["family"].get("name")
    root, whole = runs_root().resolve(), folder.resolve()
    source = (whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix()
    if family == Prior.name:
        prior, below = load_checkpoint(checkpoint), of_checkpoint(checkpoint, str(folder))
        assert isinstance(prior, Prior) and isinstance(below, clip.Clip)
        return PriorText(prior, below, source)
    require(
        family == "clip",
        f"{folder} is a run of a {family}, which reads no captions: give the run of a CLIP or of a "
        "prior.",
    )
    found = clip.load("tiny", file=checkpoint)
    if found.name != "tiny":
        found.source = source
    return found


def _open_clip_models() -> list[str]:
    import open_clip

    return list(open_clip.list_models())
