"""Sentence encoders in the place of CLIP's text tower: any model of the library
sentence-transformers (Reimers and Gurevych 2019), by folder or from its cache.

They have read text alone and never seen a picture. The library comes with the extra `sentence`; its
import takes seconds, so it waits until a model is asked for. Nothing is ever downloaded here.
"""

import contextlib
import io
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.conditioning.text import TextModel
from t2i_course.contract import Condition, T2IError, require, tensors_sha256

CAPTIONS = 256  # encoded at once, at most
OWN = "sentence_transformers."  # where the classes that a model's folder names may come from


def load(name: str | Path, device: torch.device | str = "cpu") -> "Sentence":
    """A frozen sentence encoder.

    Args:
        name: a folder that sentence-transformers wrote (with modules.json), or a model's name on
            the Hugging Face hub that is in its cache, such as "all-MiniLM-L6-v2".
        device: where it computes.

    Raises:
        T2IError: if the library or the model is not there, or the folder is damaged, holds pickles
            only, or names classes that are not the library's own.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise T2IError(
            f"Sentence encoders need the library sentence-transformers ({error}): "
            "`pip install 't2i-course[sentence]'`."
        ) from error
    folder = Path(name)
    if folder.is_dir():
        _check(folder)
    silent = io.StringIO()  # of progress bars for what takes a second
    try:
        with contextlib.redirect_stderr(silent), contextlib.redirect_stdout(silent):
            model = SentenceTransformer(
                str(name), device=str(device), local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )  # fmt: skip
    except Exception as error:  # whatever a folder that nobody vouches for makes it raise
        reason = " ".join(str(error).split())[:300]
        raise T2IError(
            f"The sentence encoder {str(name)!r} could not be loaded ({type(error).__name__}: "
            f"{reason}). Give a folder that sentence-transformers wrote, with safetensors; or on a "
            f'machine with a network run `python -c "from sentence_transformers import '
            f"SentenceTransformer; SentenceTransformer('{Path(name).name}')\"`."
        ) from error
    whole = folder.resolve()
    if folder.is_dir():
        return Sentence(whole.name, whole.as_posix(), model)
    return Sentence(str(name), str(name), model)


def _check(folder: Path) -> None:
    """Raise `T2IError` unless the folder is of a model made of the library's own classes."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        kinds = [str(one["type"]) for one in modules]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise T2IError(
            f"{folder} is not a sentence encoder's folder (modules.json: {error!r}): give one that "
            "sentence-transformers wrote."
        ) from error
    strangers = [kind for kind in kinds if not kind.startswith(OWN)]
    require(
        not strangers,
        f"{folder} wants to run code of its own ({', '.join(strangers)}), which is refused: give a "
        "model that is made of sentence-transformers' own classes.",
    )


class Sentence(TextModel):
    """A frozen sentence encoder: captions to vectors of length 1 and to their tokens.

    Args:
        folder: the name of the model, or of its folder.
        source: by which `load` finds it again.
        model: a `SentenceTransformer`.
    """

    def __init__(self, folder: str, source: str, model: Any):
        self.name, self.source = f"sentence-{folder}", f"sentence:{source}"
        self.model = model.eval().requires_grad_(False)

    @cached_property
    def sha256(self) -> str:
        """Of the weights, whatever file they came in."""
        return tensors_sha256(self.model.state_dict())

    @cached_property
    def dim(self) -> int:
        """D, of the sentences' vectors."""
        return int(self._read(["a"])[0].shape[1])

    @cached_property
    def token_dim(self) -> int:
        """D_tok, of the features of single tokens; 0 if this model gives none."""
        tokens = self._read(["a"])[1]
        return 0 if tokens is None else int(tokens.shape[2])

    @property
    def context(self) -> int:
        """How many word pieces a caption may have; what is longer is cut."""
        return int(self.model.max_seq_length or 10_000)

    def length(self, prompt: str) -> int:
        """How many word pieces a prompt has, the model's marks included."""
        return len(self.model.tokenizer(prompt, truncation=False, verbose=False)["input_ids"])

    def text(self, captions: Sequence[str], tokens: bool = False) -> Condition:
        """Captions as conditions, on the CPU in float32.

        Args:
            captions: B of them; one that is longer than the context is cut (see `check`).
            tokens: with the features of each word piece, too.

        Returns:
            `vector` `[B, D]`, each of length 1; with `tokens` also `tokens` `[B, T, D_tok]`, the
            last layer's and 0 in the padding, and `mask` `[B, T]`.

        Raises:
            T2IError: without captions, or if tokens are asked of a model that gives none.
        """
        self.can_read(captions, tokens)
        order = sorted(range(len(captions)), key=lambda i: len(captions[i]))
        read = [
            self._read([captions[i] for i in order[first : first + CAPTIONS]])
            for first in range(0, len(order), CAPTIONS)
        ]
        back = torch.tensor(order).argsort()
        condition = Condition.of(torch.cat([vector for vector, _, _ in read])[back])
        if not tokens:
            return condition
        longest = max(mask.shape[1] for _, _, mask in read)
        states = [
            F.pad(state * mask[:, :, None], (0, 0, 0, longest - mask.shape[1]))
            for _, state, mask in read
            if state is not None
        ]
        masks = [F.pad(mask, (0, longest - mask.shape[1])) for _, _, mask in read]
        return Condition(
            condition.present, condition.vector, torch.cat(states)[back], torch.cat(masks)[back]
        )

    def _read(self, captions: list[str]) -> tuple[Tensor, Tensor | None, Tensor]:
        """Vectors `[B, D]`, tokens `[B, T, D_tok]` or None, and their mask `[B, T]`."""
        cut = getattr(self.model, "preprocess", None) or self.model.tokenize  # before version 6
        features = {
            key: value.to(self.model.device) if isinstance(value, Tensor) else value
            for key, value in cut(captions).items()
        }
        with torch.no_grad():
            out = self.model(features)
        vector = F.normalize(out["sentence_embedding"].float(), dim=-1).cpu()
        tokens = out.get("token_embeddings")
        if tokens is None or tokens.ndim != 3:
            return vector, None, torch.ones(len(captions), 1, dtype=torch.bool)
        return vector, tokens.float().cpu(), out["attention_mask"].bool().cpu()
