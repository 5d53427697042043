"""A small CLIP, trained from scratch: two towers that learn which caption is which picture's.

The towers are open_clip's classes; the loss is written here.
"""

import math
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from t2i_course.conditioning.clip import Clip, normalise, preprocessing, read_text
from t2i_course.conditioning.tiny import TinySettings, build
from t2i_course.conditioning.tokenizer import CutTokenizer, pieces_of
from t2i_course.contract import (
    Condition,
    RowGenerator,
    Settings,
    TextEncoder,
    Trainable,
    seeded_init,
)
from t2i_course.data.captioned import CaptionedImages
from t2i_course.data.parsing import vocabulary
from t2i_course.data.shards import ShardedImages

SPELLED = 0.02  # of a batch's pieces are spelled, so that the rows of single letters are trained
LARGEST_SCALE = 100.0  # of the logits, as in Radford et al. (2021), section 2.5


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """How badly each picture is told from the others' captions, and each caption from the others'
    pictures: the mean of both cross-entropies, a scalar.

    Args:
        images: I, embeddings of B pictures `[B, D]`, each of length 1.
        texts: T, embeddings of their captions `[B, D]`, each of length 1, row i of picture i.
        scale: e^t, by which the cosines are multiplied (a scalar).

    Source: Radford et al. (2021), figure 3: logits = e^t I Tᵀ, labels 0 … B − 1, both ways.
    """
    logits = scale * images @ texts.T  # [B, B], row i: picture i against all captions
    log_caption = logits.diagonal() - logits.logsumexp(dim=1)  # log p(caption i | picture i)
    log_picture = logits.diagonal() - logits.logsumexp(dim=0)  # log p(picture i | caption i)
    return -(log_caption + log_picture).mean() / 2


class TinyClip(Trainable):
    """Both towers of a small CLIP.

    Each loss compares the rows that it is given with each other: micro-batches and several
    processes see fewer wrong pairs than one whole batch, so their gradients differ from its.
    """

    name: ClassVar[str] = "clip"
    settings_type: ClassVar[type[Settings]] = TinySettings
    settings: TinySettings

    def __init__(self, settings: TinySettings | None = None, seed: int = 0):
        super().__init__()
        settings = settings or TinySettings()
        # Noted among the settings, for a later version may know other words than these weights.
        self.settings = (
            settings if settings.pieces else replace(settings, pieces=pieces_of(vocabulary()))
        )
        self.seed = seed
        with seeded_init(seed):
            self.towers = build(self.settings)
        self.tokenizer = self.settings.tokenizer()
        self.prepare = preprocessing(self.towers)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"clip": self.towers}

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrastive loss; the condition's tokens are ids `[B, T, 1]`, as `Pairs` gives them.

        Logged beside it: the scale, and how often a picture's own caption is the nearest.
        """
        assert condition.vector is not None
        with torch.no_grad():
            self.towers.logit_scale.clamp_(max=math.log(LARGEST_SCALE))
        ids = condition.vector.long()
        spelled = generator.uniform(ids.shape[1]).to(ids.device) < SPELLED
        ids = self.tokenizer.spell(ids, spelled)
        with sdpa_kernel(SDPBackend.MATH):  # trains 1.4 times as fast on a CPU as the fused one
            I = normalise(self.towers.encode_image(self._seen(images, generator)))  # noqa: E741
            T = normalise(read_text(self.towers, ids)[0])
        scale = self.towers.logit_scale.exp()
        with torch.autocast(I.device.type, enabled=False):
            loss = contrastive_loss(I, T, scale)
        own = torch.arange(len(I), device=I.device)
        right = ((I.detach() @ T.detach().T).argmax(1) == own).float().mean()
        return loss, {"accuracy": right, "scale": scale}

    def _seen(self, images: Tensor, generator: RowGenerator) -> Tensor:
        """The images prepared for the tower; of its own size each other one is seen as if it had
        been drawn at half that size, so that the tower knows both."""
        prepared = self.prepare(images)
        if images.shape[-1] != self.settings.image_size:
            return prepared
        small = (generator.uniform() < 0.5).to(images.device)
        if small.any():
            prepared[small] = self.prepare(F.avg_pool2d(images[small], 2))
        return prepared

    def clip(self) -> Clip:
        """These towers as `conditioning.clip.load` hands them out; they are frozen from now on."""
        return Clip("tiny", self.towers, self.tokenizer, self.device)


def pairs(
    data: CaptionedImages | ShardedImages, tokenizer: CutTokenizer, full: int = 4
) -> CaptionedImages | ShardedImages:
    """The set as a contrastive loss takes it: a condition's `vector` is a caption's ids `[B, T]`.

    A short caption is true of other pictures of a batch too, which the loss then calls wrong: the
    first caption of each picture, which says everything, stands in the list `full` times.

    Args:
        data: where `full` is above 1, its pictures' first captions say everything.
        tokenizer: of the model to be trained.
        full: of 4 + `full` draws of a caption so many are the first, with five captions a picture;
            1 for captions of people, who all say what they like.
    """
    encoder = TextEncoder(
        "ids", f"{tokenizer.pieces}", tokenizer.context_length, 0,
        lambda captions: Condition.of(tokenizer(captions).float()),
    )  # fmt: skip
    if isinstance(data, CaptionedImages) and full > 1:
        data = data.weighted(full)
    return replace(data, encoder=encoder)
