"""Published CLIP weights from open_clip's cache or a file: found, checked, never downloaded."""

import os
import pickle
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from t2i_course.contract import T2IError, require, unknown


def load_pretrained(
    name: str, pretrained: str | None, file: str | Path | None
) -> tuple[Any, Any, str]:
    """An open_clip model with its weights, its tokenizer, and the weights' name.

    Raises:
        T2IError: see `conditioning.clip.load`.
    """
    import open_clip

    if name not in open_clip.list_models():
        raise unknown("CLIP model", name, ["tiny", *open_clip.list_models()])
    tags = open_clip.list_pretrained_tags_by_model(name)
    config: dict[str, Any] = {}
    if file is not None:
        require(pretrained is None, "Give either `pretrained` or `file`, not both.")
        path, weights = Path(file), Path(file).name
        require(path.is_file(), f"There is no file {path} with the weights of {name}.")
    else:
        require(
            pretrained is not None,
            f"Which weights of {name}? Give `file`, or `pretrained` as one of: {', '.join(tags)}.",
        )
        weights = str(pretrained)
        config = open_clip.get_pretrained_cfg(name, weights)
        if not config:
            raise unknown(f"weights of {name}", weights, tags)
        path = _cached(name, weights, config)
    options: dict[str, Any] = {"force_preprocess_cfg": config}
    if "quick_gelu" in config:  # open_clip only warns where a tag's activation is not its model's
        options["quick_gelu"] = config["quick_gelu"]
    try:
        model = open_clip.create_model(name, pretrained=str(path), **options)
        tokenizer = open_clip.get_tokenizer(name)
    except (
        RuntimeError, ValueError, KeyError, TypeError, AttributeError, OSError, ImportError,
        AssertionError, SafetensorError, pickle.UnpicklingError, EOFError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:300]
        raise T2IError(
            f"{path} could not be loaded as weights of {name} ({type(error).__name__}: {reason}). "
            "The file may be damaged, of another model, or a pickle of more than tensors."
        ) from error
    return model, tokenizer, weights


def _cached(name: str, tag: str, config: dict[str, Any]) -> Path:
    """Where open_clip's cache has those weights.

    Raises:
        T2IError: if it has not, with the command that fetches them and the folder to copy.
    """
    from huggingface_hub import constants, try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    if config.get("hf_hub"):
        repo, filename = os.path.split(config["hf_hub"])
        if filename in ("", HF_WEIGHTS_NAME):
            candidates = [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
        else:
            candidates = [str(Path(filename).with_suffix(".safetensors")), filename]
        for candidate in candidates:
            found = try_to_load_from_cache(repo, candidate)
            if isinstance(found, str):
                return Path(found)
        folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    else:
        folder = Path.home() / ".cache" / "clip" / os.path.basename(config["url"])
        if folder.is_file():
            return _checked(folder, config["url"])
    raise T2IError(
        f"The weights {tag!r} of {name} are not in open_clip's cache: on a machine with a network "
        f"run `python -c \"import open_clip; open_clip.create_model('{name}', '{tag}')\"`, then "
        f"copy what it stored (there usually under ~/.cache) to {folder}."
    )


def _checked(path: Path, url: str) -> Path:
    """The file, if it has the hash that open_clip's address of it names."""
    from t2i_course.contract import file_sha256

    expected = ""
    if "openaipublic" in url:
        expected = url.split("/")[-2]
    elif "mlfoundations" in url:
        expected = path.stem.split("-")[-1]
    require(
        file_sha256(path).startswith(expected),
        f"{path} is damaged (its SHA-256 is not the published one): remove it and fetch it again.",
    )
    return path
