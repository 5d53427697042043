"""The kernel distance between two sets of features; with Inception features this is the KID.

Unlike the Fréchet distance it has no bias: sets of any size have the same expectation, 0 if they
come from one distribution, and an estimate may be negative.
"""

import torch
from torch import Tensor

from t2i_course.contract import require


def kid(x: Tensor, y: Tensor, blocks: int = 10) -> tuple[float, float]:
    """The mean of MMD² over disjoint blocks of x `[N, D]` and y `[M, D]`, and its standard error.

    Both sets are cut into `blocks` runs of rows, the i-th of x compared with the i-th of y. No
    image is in two blocks, so the blocks are independent, and their spread over √blocks is the
    mean's error (subsets that overlap, as in most code, say less). Rows must come in an order that
    says nothing, or with the classes in turn.

    Raises:
        T2IError: as `mmd2`, or with fewer than 2 blocks.

    Source: Bińkowski et al. (2018), section 4; blocks: Zaremba, Gretton & Blaschko (2013).
    """
    require(blocks >= 2, f"A standard error needs at least 2 blocks, not {blocks}.")
    pairs = zip(x.tensor_split(blocks), y.tensor_split(blocks), strict=True)
    values = torch.tensor([mmd2(*pair) for pair in pairs], dtype=torch.float64)
    return values.mean().item(), (values.std() / blocks**0.5).item()


def mmd2(x: Tensor, y: Tensor) -> float:
    """MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y) with k(x, y) = (xᵀy / D + 1)³, unbiased.

    x `[N, D]` and y `[M, D]`; in float64. Pairs of one image with itself are left out.

    Raises:
        T2IError: if the shapes do not fit, a set has fewer than 2 rows, or a number is not finite.

    Source: Gretton et al. (2012), eq. 3; the kernel: Bińkowski et al. (2018), section 4.
    """
    require(
        x.ndim == y.ndim == 2 and x.shape[1] == y.shape[1] and min(len(x), len(y)) >= 2,
        "Two sets [N, D] and [M, D] of at least 2 features are expected (in each block), not "
        f"{list(x.shape)} and {list(y.shape)}.",
    )
    x, y = x.double(), y.double()
    value = _within(x) + _within(y) - 2 * _kernel(x, y).mean()
    require(bool(value.isfinite()), "Some features are not finite: look at their images.")
    return value.item()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _within(x: Tensor) -> Tensor:
    """The mean of k over all pairs of different rows."""
    K, N = _kernel(x, x), len(x)
    return (K.sum() - K.trace()) / (N * (N - 1))
