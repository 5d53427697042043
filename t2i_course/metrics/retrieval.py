"""Retrieval: is the right caption nearest to a picture, and the right picture to a caption?"""

import torch
from torch import Tensor

from t2i_course.contract import RowGenerator, require

Z = 1.959964  # the normal distribution's 97.5 % point


def r_precision(
    images: Tensor, captions: Tensor, candidates: int = 100, seed: int = 0
) -> tuple[float, float, float]:
    """The share of pictures to which their own caption is nearer than R − 1 others, by cosine.

    Args:
        images: embeddings `[N, D]` of the pictures, row i made from caption i.
        captions: embeddings `[N, D]` of the N different captions.
        candidates: R, the own caption included; the others are drawn without replacement.
        seed: of the draws.

    Returns:
        The share in [0, 1], and its 95 % interval over prompts (Wilson 1927). Chance is 1 / R: a
        tie counts as an equal share of a hit, so that one embedding for all is no better.

    Raises:
        T2IError: if the shapes differ, a number is not finite, or N is less than R.

    Source: Xu et al. (2018), section 4.1, with R = 100.
    """
    require(
        images.ndim == 2 and images.shape == captions.shape,
        "Embeddings of pictures and of their captions come as [N, D] each, not with shapes "
        f"{list(images.shape)} and {list(captions.shape)}.",
    )
    N = len(images)
    require(
        2 <= candidates <= N,
        f"{candidates} candidates were asked for: R is from 2 to the number of captions, {N}.",
    )
    x, y = (torch.nn.functional.normalize(each.double(), dim=1) for each in (images, captions))
    require(
        bool(x.isfinite().all() and y.isfinite().all()),
        "Some embeddings are not finite: look at their pictures and captions.",
    )
    # The N − 1 others in an order of their own for each row: shifts 1 … N − 1 from the row itself.
    order = RowGenerator(seed, "candidates", rows=N).uniform(N - 1).argsort(dim=1)
    others = (order[:, : candidates - 1] + 1 + torch.arange(N)[:, None]) % N
    own = (x * y).sum(dim=1)  # [N]
    rival = torch.stack([y[row] @ x[i] for i, row in enumerate(others)])  # [N, R − 1]
    nearer = (rival > own[:, None] + 1e-12).any(dim=1)
    ties = ((rival - own[:, None]).abs() <= 1e-12).sum(dim=1)
    share = torch.where(nearer, 0.0, 1 / (1 + ties.double())).mean().item()
    return share, *wilson(share, N)


def top1(similarity: Tensor, right: Tensor) -> float:
    """The share of queries whose most similar candidate is a right one.

    Args:
        similarity: `[N, M]`, row i: query i against M candidates.
        right: bool `[N, M]`: which candidates are right for which query; more than one may be.

    Raises:
        T2IError: if the shapes differ or there is no query.
    """
    require(
        similarity.ndim == 2 and similarity.shape == right.shape and len(similarity) > 0,
        "Similarities and right answers come as [N, M] each, not with shapes "
        f"{list(similarity.shape)} and {list(right.shape)}.",
    )
    nearest = similarity.argmax(dim=1, keepdim=True)
    return right.gather(1, nearest).double().mean().item()


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of n independent trials: it stays inside [0, 1].

    Source: Wilson (1927).
    """
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * (share * (1 - share) / n + Z**2 / (4 * n**2)) ** 0.5 / (1 + Z**2 / n)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
