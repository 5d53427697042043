"""CLIP models by name: `tiny`, which ships with the package, and all that open_clip knows.

`load` returns model, tokenizer and transform together, frozen; nothing is ever downloaded here.
open_clip's import takes seconds, so it waits until a model is asked for.
"""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.conditioning import tiny
from t2i_course.conditioning.pretrained import load_pretrained
from t2i_course.conditioning.text import TextModel
from t2i_course.contract import (
    Condition,
    Features,
    T2IError,
    file_sha256,
    require,
    tensors_sha256,
    unknown,
)

TINY = Path(__file__).parents[1] / "zoo" / "clip-tiny"
PRECISIONS = ("auto", "fp32", "bf16")
CAPTIONS, IMAGES = 256, 64  # encoded at once, at most


def load(
    name: str = "tiny",
    pretrained: str | None = None,
    *,
    file: str | Path | None = None,
    device: torch.device | str = "cpu",
    precision: str = "auto",
) -> "Clip":
    """A frozen CLIP with its tokenizer and its preprocessing.

    Args:
        name: "tiny", or a model of `open_clip.list_models()` such as "ViT-B-32".
        pretrained: which published weights, such as "laion2b_s34b_b79k", from open_clip's cache.
        file: weights on disk in place of `pretrained` (safetensors, or .pt as plain tensors); for
            "tiny" the folder of a checkpoint of one's own.
        device: where it computes.
        precision: "fp32", "bf16", or "auto": bfloat16 on a GPU, float32 elsewhere.

    Raises:
        T2IError: for a name or a tag that does not exist, weights that are not there (with the
            command that fetches them) or are damaged.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if name == "tiny":
        require(pretrained is None, "'tiny' has its own weights only: leave out `pretrained`.")
        model, tokenizer = _load_tiny(TINY if file is None else Path(file))
        return Clip(_own_name(file), model, tokenizer, device, precision)
    model, tokenizer, weights = load_pretrained(name, pretrained, file)
    return Clip(f"{name}/{weights}", model, tokenizer, device, precision)


def _own_name(file: str | Path | None) -> str:
    """What a CLIP of one's own is called: as its run's folder is, "clip-" in front left out."""
    if file is None or Path(file).resolve() == TINY.resolve():
        return "tiny"
    folder = Path(file).resolve()
    run = folder.parent if folder.name.startswith("step-") else folder
    return run.name.removeprefix("clip-")


def _load_tiny(folder: Path) -> tuple[nn.Module, Any]:
    """Model and tokenizer of a checkpoint's folder."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        settings, expected = config["family"]["settings"], card["files"]["weights.safetensors"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise T2IError(
            f"{folder} is not the checkpoint of a small CLIP ({error!r}). Install the package "
            "again, or give the step-… folder of a run of `t2i train clip-tiny`."
        ) from error
    from safetensors.torch import load

    path = folder / "weights.safetensors"
    require(
        path.is_file() and file_sha256(path) == expected,
        f"{path} is not the file that its card.json describes (the SHA-256 differs): it was "
        "changed or damaged. Install the package again, or use another checkpoint.",
    )
    weights = {key.removeprefix("towers."): v.float() for key, v in load(path.read_bytes()).items()}
    settings = tiny.TinySettings.from_dict(settings)
    model = tiny.build(settings)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise T2IError(f"The weights in {path} do not fit its config.json: {error}.") from error
    return model, settings.tokenizer()


class Clip(TextModel):
    """A frozen CLIP: captions and pictures to vectors that can be compared.

    Args:
        name: "tiny", the run's for one's own, or model and weights, such as "ViT-B-32/openai".
        model: one of open_clip's, its preprocessing noted on it.
        tokenizer: the one that belongs to it.
        device, precision: see `load`.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        tokenizer: Any,
        device: torch.device | str = "cpu",
        precision: str = "auto",
    ):
        self.name, self.tokenizer = name, tokenizer
        self.device = torch.device(device)
        self.model: Any = model.to(self.device).eval().requires_grad_(False)
        bf16 = precision == "bf16" or (precision == "auto" and self.device.type == "cuda")
        self.precision = "bf16" if bf16 else "fp32"
        self.prepare = preprocessing(model)

    @cached_property
    def sha256(self) -> str:
        """Of the weights, whatever file they came in."""
        return tensors_sha256(self.model.state_dict())

    @cached_property
    def dim(self) -> int:
        """D, of the embeddings that pictures and captions share."""
        return self.text(["a"]).vector.shape[1]  # type: ignore[union-attr]

    @property
    def token_dim(self) -> int:
        """D_tok, of the features of single tokens; 0 if this model gives none."""
        tower = text_tower(self.model)
        return 0 if tower is None else tower.token_embedding.weight.shape[1]

    @property
    def context(self) -> int:
        """How many ids a caption may have, the two marks included."""
        return int(self.tokenizer.context_length)

    @cached_property
    def transform(self) -> Callable[[Any], Tensor]:
        """open_clip's own preprocessing of one PIL picture, `[3, H, W]`."""
        return _steps(self.model)

    def text(self, captions: Sequence[str], tokens: bool = False) -> Condition:
        """Captions as conditions, on the model's device in float32.

        Args:
            captions: B of them; one that is longer than the context is cut (see `check`).
            tokens: with the features of each token, too.

        Returns:
            `vector` `[B, D]`, each of length 1; with `tokens` also `tokens` `[B, T, D_tok]`, the
            last layer's after its norm and 0 in the padding, and `mask` `[B, T]`, T being the
            longest caption's ids. The marks of start and end are tokens, and the end mark's has
            read the whole caption.

        Raises:
            T2IError: without captions, or if tokens are asked of a model that gives none.
        """
        self.can_read(captions, tokens)
        ids: Tensor = self.tokenizer(list(captions))
        lengths = _lengths(ids)
        order = lengths.argsort()  # chunks of captions of a length have little padding
        longest = int(lengths.max())
        vectors, states = [], []
        with torch.no_grad(), self._autocast():
            for chunk in order.split(max(16, min(CAPTIONS, len(ids) // 4))):
                pooled, state = read_text(self.model, ids[chunk].to(self.device))
                vectors.append(normalise(pooled))
                if tokens:
                    assert state is not None
                    states.append(F.pad(state.float(), (0, 0, 0, longest - state.shape[1])))
        back = order.argsort()
        vector = torch.cat(vectors)[back]
        condition = Condition.of(vector)
        if not tokens:
            return condition
        mask = (torch.arange(longest) < lengths[:, None]).to(self.device)  # [B, T]
        features = torch.cat(states)[back] * mask[:, :, None]  # padding is 0, whatever the chunk
        return Condition(condition.present, vector, features, mask)

    def images(self, images: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [0, 1] as embeddings `[B, D]` of length 1, float32."""
        require(
            images.ndim == 4 and images.shape[1] == 3,
            f"CLIP looks at images [B, 3, H, W]; it was given {list(images.shape)}.",
        )
        with torch.no_grad(), self._autocast():
            return torch.cat(
                [
                    normalise(self.model.encode_image(self.prepare(chunk.to(self.device).float())))
                    for chunk in images.split(IMAGES)
                ]
            )

    def features(self) -> Features:
        """The image embeddings as metrics take them."""
        size = self.model.visual.preprocess_cfg
        resize = f"to {size['size']}, {size['interpolation']}, as open_clip does for it"
        return Features(self.title, self.sha256, self.dim, self.images, resize)

    @property
    def title(self) -> str:
        """The name among text encoders."""
        return f"clip-{self.name}"

    def length(self, prompt: str) -> int:
        """How many ids a prompt has, the marks of start and end included."""
        return len(self.tokenizer.encode(prompt)) + 2

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that this model has to spell, since it was never shown them."""
        known = getattr(self.tokenizer, "unknown_words", None)
        return known(text) if known else []

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def clip_of(reader: TextModel) -> Clip:
    """The CLIP that a text model is, or stands on; `T2IError` if there is none."""
    found = getattr(reader, "clip", reader)
    if not isinstance(found, Clip):
        raise T2IError(
            f"{reader.name} is no CLIP and cannot look at pictures: take a model that reads by one."
        )
    return found


def normalise(vectors: Tensor) -> Tensor:
    """Vectors `[B, D]` as float32 of length 1."""
    return F.normalize(vectors.float(), dim=-1)


def text_tower(model: Any) -> Any:
    """The part of an open_clip model that `read_text` can run itself: a causal transformer that
    pools at the end mark, as all models after Radford et al. (2021) are; None for others."""
    tower = model if hasattr(model, "token_embedding") else getattr(model, "text", None)
    pool = getattr(tower, "text_pool_type", getattr(tower, "pool_type", None))
    causal = getattr(tower, "attn_mask", None) is not None
    plain = getattr(tower, "cls_emb", None) is None
    return tower if causal and plain and pool == "argmax" else None


def read_text(model: Any, ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """What the text tower makes of ids `[B, T]`: the sentences `[B, D]`, not normalised, and their
    tokens `[B, T', D_tok]`, T' being the longest caption's ids; None where a model gives none.

    Nothing behind the end mark is computed: a causal tower's answer does not depend on it.
    """
    tower = text_tower(model)
    if tower is None:
        return model.encode_text(ids), None
    lengths = _lengths(ids)
    T = int(lengths.max())
    ids = ids[:, :T]
    x = tower.token_embedding(ids) + tower.positional_embedding[:T]
    x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:T, :T]))
    pooled = x[torch.arange(len(x), device=x.device), lengths - 1]  # [B, T, W] -> [B, W]
    projection = tower.text_projection
    if isinstance(projection, nn.Linear):
        return projection(pooled), x
    return pooled if projection is None else pooled @ projection, x


def _lengths(ids: Tensor) -> Tensor:
    """How many ids each row `[B, T]` has up to its end mark, its largest id: int64 `[B]`."""
    return ids.argmax(dim=1) + 1


def _steps(model: Any) -> Any:
    """open_clip's transform for that model: resize, crop, to a tensor, normalise."""
    from open_clip import get_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

    config = merge_preprocess_dict(PreprocessCfg(), get_model_preprocess_cfg(model))
    return image_transform_v2(PreprocessCfg(**config), is_train=False)


def preprocessing(model: Any) -> Callable[[Tensor], Tensor]:
    """open_clip's transform for that model as a function of images `[B, 3, H, W]` in [0, 1].

    Its steps are taken from open_clip and applied to tensors. A bicubic resize overshoots, and what
    leaves [0, 1] is put back, as PIL does; PIL also does so, and rounds to 8 bits, between its two
    passes, which tensors do not.

    Raises:
        T2IError: for the few models whose resize works on PIL pictures only.
    """
    *geometry, normalize = _steps(model).transforms
    names = [type(step).__name__ for step in geometry]
    require(
        "ResizeKeepRatio" not in names,
        "This model's preprocessing works on PIL pictures only: use its `transform`.",
    )

    def prepare(images: Tensor) -> Tensor:
        for step in geometry:
            images = step(images)
        return normalize(images.clamp(0, 1))

    return prepare
