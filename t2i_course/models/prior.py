"""The prior: from a sentence's embedding to that of a picture which it describes.

A CLIP puts sentences and pictures into one space, but not into the same place of it. unCLIP (Ramesh
et al. 2022) learns the step between them, and another model draws from the picture's embedding. The
course's first paper means the same by "text embeddings decoded into image embeddings".
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from t2i_course.conditioning.clip import Clip
from t2i_course.conditioning.text import TextModel
from t2i_course.contract import (
    Condition,
    RowGenerator,
    Settings,
    TextEncoder,
    Trainable,
    require,
    seed_of,
    seeded_init,
    tensors_sha256,
    unknown,
)
from t2i_course.data.captioned import CaptionedImages, one_of_each
from t2i_course.diffusion import samplers, schedules
from t2i_course.diffusion.objectives import denoiser, draw_times, weight

KINDS = ("diffusion", "regression")
WAVES = 4  # sines and as many cosines by which the network is told the time
LOOKED_AT = 256  # pictures at once


@dataclass(frozen=True)
class PriorSettings(Settings):
    """What the prior says of a picture's embedding x, given a sentence's y.

    Args:
        condition_dim: D, of both.
        kind: "diffusion" draws x from p(x | y) (a flow; Ramesh et al. 2022, section 2.2, from whose
            priors it differs in its path and its network); "regression" is the mean of it.
        width, layers: of the network.
        steps: of drawing, by Heun's method; a regression has none.
        image_size: pixels of a side of the photographs whose embeddings are learned: as large as
            those of the model that is to draw from them.
    """

    condition_dim: int = 128
    kind: str = "diffusion"
    width: int = 512
    layers: int = 2
    steps: int = 16
    image_size: int = 64

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("prior", self.kind, KINDS)
        for name in ("condition_dim", "width", "layers", "steps", "image_size"):
            value = getattr(self, name)
            require(1 <= value <= 10_000, f"{name} must be from 1 to 10,000, not {value}.")


class Network(nn.Module):
    """Rows of numbers to rows `[B, D]`: hidden layers, and a straight line beside them."""

    def __init__(self, inputs: int, s: PriorSettings):
        super().__init__()
        sizes = [inputs] + [s.width] * s.layers
        self.hidden = nn.Sequential(
            *(part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU()))
        )
        self.last = nn.Linear(s.width, s.condition_dim)
        self.line = nn.Linear(inputs, s.condition_dim)

    def forward(self, *parts: Tensor) -> Tensor:
        inputs = torch.cat(parts, dim=1)
        return self.last(self.hidden(inputs)) + self.line(inputs)


class Prior(Trainable):
    """y `[B, D]` of sentences to x `[B, D]` of pictures; trained on `Embeddings`.

    Inside, vectors have the length √D in place of 1, so that an entry's variance is about 1, as a
    flow from standard normal noise wants it.
    """

    name: ClassVar[str] = "prior"
    settings_type: ClassVar[type[Settings]] = PriorSettings
    settings: PriorSettings

    def __init__(self, settings: PriorSettings | None = None, seed: int = 0):
        super().__init__()
        self.settings = s = settings or PriorSettings()
        self.seed = seed
        self.path = schedules.path("flow")
        times = 1 + 2 * WAVES if s.kind == "diffusion" else 0
        inputs = s.condition_dim * (2 if times else 1) + times
        with seeded_init(seed):
            self.network = Network(inputs, s)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"prior": self.network}

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The squared error of x, for a noisy x_t weighed as one in the flow's velocity; images as
        `as_images` has them. That the network says x and not the noise is as Ramesh et al. have it.

        The best answer of the regression is E[x | y], which is shorter than any x.
        """
        s, scale = self.settings, math.sqrt(self.settings.condition_dim)
        assert condition.vector is not None
        x_0, y = scale * (2 * images.flatten(1) - 1), scale * condition.vector
        if s.kind == "regression":
            return F.mse_loss(self.network(y), x_0), {}
        t = draw_times("logit-normal", self.path, generator).to(x_0)
        eps = generator.normal(s.condition_dim).to(x_0)
        out = self._clean(schedules.q_sample(self.path, x_0, t, eps), t, y)
        weights = weight("velocity", "data", self.path, t)
        return (weights * (out - x_0).square().mean(dim=1)).mean(), {}

    def _clean(self, x_t: Tensor, t: Tensor, y: Tensor) -> Tensor:
        angles = t[:, None] * math.pi * 2.0 ** torch.arange(WAVES, device=t.device)
        return self.network(x_t, y, t[:, None], angles.sin(), angles.cos())

    @torch.no_grad()
    def guess(self, y: Tensor, noise: Tensor) -> Tensor:
        """Pictures' embeddings `[B, D]` for the sentences' y `[B, D]`: the mean, or one drawn from
        standard normal `noise` `[B, D]`. Their length is about 1, a mean's less."""
        s, scale = self.settings, math.sqrt(self.settings.condition_dim)
        y = scale * y
        if s.kind == "regression":
            return self.network(y) / scale

        def expected(x_t: Tensor, t: Tensor) -> Tensor:
            x_0 = self._clean(x_t, t, y)  # a mean of vectors of length √D cannot be longer
            return x_0 * (scale / x_0.norm(dim=1, keepdim=True)).clamp(max=1)

        denoise = denoiser("data", self.path, expected)
        times = schedules.times(self.path, s.steps)
        x = samplers.heun(denoise, noise, times, self.path, RowGenerator(rows=len(y)))
        return x / scale


class PriorText(TextModel):
    """A CLIP's sentences as a prior guesses the pictures' embeddings: a model that was trained on
    embeddings of pictures (`encoder().of_images`) draws from sentences by it.

    What such a model is trained on is the CLIP's, whatever the prior: they are trained apart, and
    another prior of the same CLIP may take this one's place.

    Args:
        prior: trained; a copy of it is kept.
        clip: the one whose embeddings it was trained on.
        source: by which it is found again.
    """

    token_dim = 0

    def __init__(self, prior: Prior, clip: Clip, source: str = ""):
        require(
            prior.settings.condition_dim == clip.dim,
            f"This prior is of {prior.settings.condition_dim} numbers, {clip.name}'s embeddings of "
            f"{clip.dim}.",
        )
        self.prior = deepcopy(prior).to(clip.device).eval().requires_grad_(False)
        self.clip, self.source = clip, source
        self.name = f"prior-{clip.title}"

    @cached_property
    def sha256(self) -> str:
        """Of the prior's weights and the CLIP's."""
        weights = self.prior.state_dict()
        return tensors_sha256({f"{self.clip.sha256} {key}": weights[key] for key in weights})

    @property
    def dim(self) -> int:
        return self.clip.dim

    @property
    def context(self) -> int:
        return self.clip.context

    def text(self, captions: Sequence[str], tokens: bool = False) -> Condition:
        """As `TextModel.text`. What is drawn follows from the caption alone: the same one is always
        the same condition."""
        self.can_read(captions, tokens)
        y = self.clip.text(captions).vector
        assert y is not None
        noise = [self._noise(caption) for caption in captions]
        x = self.prior.guess(y, torch.stack(noise).to(y))
        return Condition.of(F.normalize(x))  # as long as the embeddings that are trained on

    def _noise(self, caption: str) -> Tensor:
        generator = torch.Generator().manual_seed(seed_of("prior", caption))
        return torch.randn(self.dim, generator=generator)

    def length(self, prompt: str) -> int:
        return self.clip.length(prompt)

    def unknown_words(self, text: str) -> list[str]:
        return self.clip.unknown_words(text)

    def encoder(self, tokens: bool = True) -> TextEncoder:
        """As `TextModel.encoder`; whoever is trained is shown the pictures' own embeddings, so its
        hash is the CLIP's."""
        return replace(
            super().encoder(tokens),
            sha256=self.clip.sha256,
            of_images=lambda images: Condition.of(self.clip.images(images).to(images.device)),
        )


def as_images(x: Tensor) -> Tensor:
    """Embeddings `[B, D]` of length 1 as the engine takes what is to be modelled: images of D
    channels and one pixel, `[B, D, 1, 1]` in [0, 1]."""
    return (x / 2 + 0.5)[:, :, None, None]


class Embeddings:
    """A captioned set as a prior learns from it (`contract.Data`): the pictures' embeddings in the
    place of the pictures.

    Args:
        data: in memory, with an encoder of its captions.
        clip: looks at all the pictures before the training begins.
        progress: show a bar while it does.
    """

    def __init__(self, data: CaptionedImages, clip: Clip, progress: bool = False):
        self.data = data
        parts = tqdm(
            torch.arange(len(data)).split(LOOKED_AT),
            desc=f"pictures by {clip.title}", disable=not progress, mininterval=1,
        )  # fmt: skip
        self.x = torch.cat([clip.images(data.gathered(part)).cpu() for part in parts])

    @property
    def name(self) -> str:
        return self.data.name

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, index: Tensor, generator: RowGenerator) -> tuple[Tensor, Condition]:
        """See `contract.Data`; which of an image's captions it comes with is drawn."""
        captions = one_of_each([self.data.captions[i] for i in index.tolist()], generator)
        return as_images(self.x[index]), self.data.condition(captions)

    def card(self) -> dict[str, Any]:
        """See `contract.Data`."""
        return self.data.card()
