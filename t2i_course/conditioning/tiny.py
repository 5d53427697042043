"""`tiny`: a CLIP of our own size in open_clip's classes."""

from dataclasses import dataclass
from typing import Any

import torch

from t2i_course.conditioning.tokenizer import BYTES, CutTokenizer
from t2i_course.contract import Settings, require


@dataclass(frozen=True)
class TinySettings(Settings):
    """Sizes of the two towers.

    Args:
        image_size: H and W of what the image tower looks at, a multiple of 32.
        width: channels of the image tower's first blocks, a multiple of 4; the last has 32 times
            as many.
        blocks: of residual blocks in each of its four stages.
        text_width, text_layers: of the text tower.
        head_width: of an attention head, a divisor of `text_width` and of 32 times `width`.
        embed_dim: D, of the embeddings that both towers share.
        context: T, the longest caption in ids, marks included.
        pieces: which rows of the stock tokenizer's table are kept beside its bytes and marks.
    """

    image_size: int = 64
    width: int = 16
    blocks: tuple[int, int, int, int] = (1, 1, 1, 1)
    text_width: int = 128
    text_layers: int = 3
    head_width: int = 64
    embed_dim: int = 128
    context: int = 64
    pieces: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("width", "text_width", "text_layers", "head_width", "embed_dim"):
            value = getattr(self, name)
            require(1 <= value <= 4096, f"{name} must be from 1 to 4096, not {value}.")
        require(
            self.image_size >= 32 and self.image_size % 32 == 0,
            f"image_size must be a multiple of 32, not {self.image_size}.",
        )
        require(
            self.width % 4 == 0 and min(self.blocks) >= 1,
            f"width must be a multiple of 4 and each stage needs a block, not {self.width} and "
            f"{self.blocks}.",
        )
        for width in (self.text_width, 32 * self.width):
            require(
                width % self.head_width == 0,
                f"head_width {self.head_width} must divide the width {width}.",
            )

    def tokenizer(self) -> CutTokenizer:
        """The tokenizer whose ids are the rows of this model's table."""
        return CutTokenizer(self.pieces, self.context)

    def config(self) -> dict[str, Any]:
        """The same as open_clip's configuration, as its classes and its json files have it."""
        return {
            "embed_dim": self.embed_dim,
            "vision_cfg": {
                "image_size": self.image_size, "width": self.width, "layers": self.blocks,
                "head_width": self.head_width,
            },
            "text_cfg": {
                "context_length": self.context, "vocab_size": BYTES + len(self.pieces) + 2,
                "width": self.text_width, "layers": self.text_layers,
                "heads": self.text_width // self.head_width,
            },
        }  # fmt: skip


# What the image tower's input is made of: colours from 0 to 1 become numbers from -1 to 1.
PREPROCESSING = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bicubic"}


def build(settings: TinySettings) -> Any:
    """open_clip's `CLIP` of that size with fresh weights (drawn from torch's global generator: see
    `contract.seeded_init`), its preprocessing noted on the image tower as open_clip does."""
    from open_clip.model import CLIP, set_model_preprocess_cfg

    model = CLIP(**settings.config())
    model.visual.to(memory_format=torch.channels_last)  # 1.7 times as fast on a CPU
    set_model_preprocess_cfg(model, {"size": settings.image_size, **PREPROCESSING})
    return model
