"""Nearest neighbours among vectors, block by block: the memory does not grow with both sets."""

from collections.abc import Iterator

import torch
from torch import Tensor

from t2i_course.contract import require

ROWS = 64  # whose distances are held at once: few enough for a CPU's caches


def nearest(a: Tensor, b: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest rows of b `[M, D]` for each row of a `[N, D]`, nearest first.

    Returns:
        Distances `[N, k]` and indices of rows of b, int64 `[N, k]`. With b = a the first is the row
        itself, at a distance of 0 but for rounding (or another that is equal to it).

    Distances are |a|² + |b|² - 2ab in the vectors' own type: what is below about 1e-8 (float64) or
    5e-4 (float32) of the vectors' distance from b's mean is rounding.

    Raises:
        T2IError: if the shapes do not fit, there are fewer than k rows, or numbers are not finite.
    """
    require(1 <= k <= len(b), f"The {k} nearest of {len(b)} vectors were asked for.")
    distances = a.new_empty(len(a), k)  # made first: small results between blocks scatter the heap
    indices = torch.empty(len(a), k, dtype=torch.int64, device=a.device)
    rows = zip(distances.split(ROWS), indices.split(ROWS), strict=True)
    for block, out in zip(squared_distances(a, b), rows, strict=True):
        torch.topk(block, k, dim=1, largest=False, out=out)
    return distances.clamp(min=0).sqrt(), indices


def squared_distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """|a_i - b_j|² `[n, M]` for some rows of a `[N, D]` at a time and all of b `[M, D]`.

    They are one matrix product, (a, |a|², 1) · (-2b, 1, |b|²); rounding may leave some below 0.

    Raises:
        T2IError: if the shapes do not fit, a set is empty, or numbers are not finite.
    """
    require(
        a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1] and len(a) > 0 and len(b) > 0,
        f"Two sets [N, D] and [M, D] are expected, not {list(a.shape)} and {list(b.shape)}.",
    )
    for vectors in (a, b):
        bad = int((~vectors.isfinite()).any(dim=1).sum())
        require(bad == 0, f"{bad} of {len(vectors)} vectors are not finite: look at their images.")
    mean = b.mean(dim=0)  # a common shift changes no distance, and small numbers lose fewer digits
    a, b = a - mean, b - mean
    ones, length = torch.ones_like(b[:, :1]), b.square().sum(dim=1, keepdim=True)
    right = torch.cat([-2 * b, ones, length], dim=1).T.contiguous()  # [D + 2, M]
    for rows in a.split(ROWS):
        length = rows.square().sum(dim=1, keepdim=True)
        yield torch.cat([rows, length, torch.ones_like(length)], dim=1) @ right
