"""The distance between two sets of pictures in CLIP embeddings that replaces the FID's Gaussian by
a kernel: no assumption on the features' shape, and no bias."""

import torch
from torch import Tensor

from t2i_course.contract import require

SIGMA, SCALE = 10.0, 1000.0
ROWS = 512  # whose distances to all others are held at once


def cmmd(x: Tensor, y: Tensor) -> float:
    """1000 MMD² with the kernel k(x, y) = exp(-|x - y|² / 2σ²), σ = 10, unbiased.

    CLIP image embeddings x `[N, D]` and y `[M, D]`, each of length 1; in float64. Two sets of one
    distribution have the expectation 0, and an estimate may be negative. Pairs of one picture with
    itself are left out, as in the paper's equation; its code keeps them, and is higher by
    (1000 / N)(1 - E k(x, x')) and the same of y.

    Raises:
        T2IError: if the shapes do not fit, a set has fewer than 2 rows, or a row's length is not 1.

    Source: Jayasumana et al. (2024), eq. 5 and section 4; their embeddings are ViT-L/14's at 336.
    """
    require(
        x.ndim == y.ndim == 2 and x.shape[1] == y.shape[1] and min(len(x), len(y)) >= 2,
        "Two sets [N, D] and [M, D] of at least 2 embeddings are expected, not "
        f"{list(x.shape)} and {list(y.shape)}.",
    )
    x, y = x.double(), y.double()
    for each in (x, y):
        require(
            bool(((each.norm(dim=1) - 1).abs() < 0.01).all()),
            "CMMD is of embeddings of length 1: normalise them (and look for any not finite).",
        )
    N, M = len(x), len(y)
    # With 1 - k in place of k, of which little is left: k is 0.98 for opposite embeddings.
    across = _away(x, y) / (N * M)
    within = _away(x, x) / (N * (N - 1)) + _away(y, y) / (M * (M - 1))
    return SCALE * (2 * across - within)


def _away(x: Tensor, y: Tensor) -> float:
    """The sum of 1 - k over all pairs; a picture with itself adds nothing."""
    total = 0.0
    for rows in x.split(ROWS):
        squared = (2 - 2 * rows @ y.T).clamp(min=0)  # |x - y|² of two vectors of length 1
        total -= torch.expm1(-squared / (2 * SIGMA**2)).sum().item()
    return total
