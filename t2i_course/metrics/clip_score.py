"""The CLIP score: how near, to a CLIP, are pictures to the captions they were made from?

Two scalings of one number are in use: 100 max(cos, 0), as torchmetrics and most tables have it, and
2.5 max(cos, 0), Hessel et al.'s CLIP-S. Neither can be compared between two CLIPs. Read it beside
its ceiling, the score of real pictures with their captions.
"""

import torch
from torch import Tensor

from t2i_course.contract import require

W = 2.5  # w in Hessel et al. (2021), eq. 1: it stretches what their CLIP gives to about [0, 1]


def clip_score(images: Tensor, captions: Tensor) -> tuple[float, float]:
    """The mean of 100 max(cos(E_I, E_C), 0) over N pairs, in [0, 100], and its standard error.

    Embeddings `[N, D]` of pictures and of their captions, of any length, row i of one pair. (Where
    cosines are negative torchmetrics is lower: it clips the mean, and not each pair as its formula
    says.)

    Raises:
        T2IError: if the shapes differ, there are fewer than 2 pairs, or a number is not finite.
    """
    mean, error = _mean(cosines(images, captions))
    return 100 * mean, 100 * error


def clip_s(images: Tensor, captions: Tensor) -> tuple[float, float]:
    """The mean of w max(cos(E_I, E_C), 0), w = 2.5, in [0, 2.5], and its standard error.

    Arguments and errors as `clip_score`.

    Source: Hessel et al. (2021), eq. 1. They begin each caption with "A photo depicts".
    """
    mean, error = _mean(cosines(images, captions))
    return W * mean, W * error


def cosines(images: Tensor, captions: Tensor) -> Tensor:
    """cos(E_I, E_C) of N pairs of embeddings `[N, D]`: float64 `[N]` in [-1, 1]."""
    require(
        images.ndim == 2 and images.shape == captions.shape,
        "Embeddings of pictures and of their captions come as [N, D] each, not with shapes "
        f"{list(images.shape)} and {list(captions.shape)}.",
    )
    cos = torch.cosine_similarity(images.double(), captions.double())
    require(bool(cos.isfinite().all()), "Some embeddings are not finite: look at their pictures.")
    return cos


def _mean(cos: Tensor) -> tuple[float, float]:
    require(len(cos) >= 2, f"A mean with a standard error needs 2 pairs, not {len(cos)}.")
    clipped = cos.clamp(min=0)
    return clipped.mean().item(), (clipped.std() / len(cos) ** 0.5).item()
