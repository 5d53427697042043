"""Is it memorising, does it repeat itself? Samples nearer to another image than real ones ever are.

Near is what almost no pair of real images is, so that each share has a reference: of real images
that the model has not seen, 1 % count as near, by construction. To compare how near samples and
unseen real images are to the training set is the idea of Meehan, Chaudhuri & Dasgupta (2020). Their
test is of all ranks; the share below a low quantile sees a few copies among many other samples.

Distances are between the pictures themselves, as `thumbnails`, not between a classifier's features:
these change more between a picture and its copy with a little noise than between two pictures.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.contract import require
from t2i_course.metrics.neighbours import nearest

QUANTILE = 0.01  # the share of real images that count as near


def thumbnails(images: Tensor, side: int = 16) -> Tensor:
    """Images `[N, C, S, S]` averaged down to `side` pixels a side, or to S/2, as vectors `[N, D]`.

    A copy with some noise is then still near. Small on purpose: at 32 pixels a side an unseen
    photograph that is blurred has its nearest neighbours among the few blurred ones, and is called
    a copy of them (notebook 12).
    """
    return F.adaptive_avg_pool2d(images, min(side, images.shape[-1] // 2)).flatten(1)


def copy_ratios(images: Tensor, train: Tensor, n: int = 50) -> tuple[Tensor, Tensor]:
    """How much nearer the nearest training image is than the n nearest are, and which it is.

    The ratio, in [0, 1], is |x - x_1| / mean_i |x - x_i| over the n training images x_i nearest to
    x: near 0 for a copy, whether the training images lie close together there (trousers) or far
    apart (bags), and not small for a blurred picture, which is near to all of them.

    Args:
        images: `[N, D]`, of samples or of real images that are not in `train`.
        train: `[M, D]`, what the model was trained on.
        n: 50 in the paper; all M if there are fewer.

    Returns:
        Ratios float64 `[N]`, and the nearest training images' indices `[N]`, to look at the pairs.

    Raises:
        T2IError: if the shapes do not fit or numbers are not finite.

    Source: Carlini et al. (2023), "Extracting training data from diffusion models", section 5.
    """
    # The search in float32 takes half the time; the distance that may be 0 is then taken exactly.
    distances, index = nearest(images.float(), train.float(), min(n, len(train)))
    first = (images.double() - train[index[:, 0]].double()).norm(dim=1)
    mean = (distances[:, 1:].double().sum(dim=1) + first) / distances.shape[1]
    return first / mean.clamp(min=1e-12), index[:, 0]


def nearest_others(images: Tensor) -> Tensor:
    """The distance of each of the images `[N, D]` to the nearest of the others, float64 `[N]`.

    Raises:
        T2IError: with fewer than 2 images, or if numbers are not finite.
    """
    require(len(images) >= 2, f"There is no other image: there are {len(images)}.")
    images = images.double()
    index = nearest(images, images, 2)[1]
    itself = index[:, 0] == torch.arange(len(images), device=images.device)
    other = torch.where(itself, index[:, 1], index[:, 0])
    return (images - images[other]).norm(dim=1)


def share_near(values: Tensor, real: Tensor) -> float:
    """The share of the values `[N]` at or below the 1 % quantile of the real ones `[M]`.

    With `copy_ratios` of the samples and of test images: the share of near copies. With
    `nearest_others` of the samples and of as many real images: the share of near duplicates (more
    images lie nearer together).
    """
    return is_near(values, real).double().mean().item()


def is_near(values: Tensor, real: Tensor) -> Tensor:
    """Which of the values `[N]` are at or below the real ones' `[M]` 1 % quantile: bool `[N]`.

    Raises:
        T2IError: if there are none of either.
    """
    require(len(values) > 0 and len(real) > 0, "A share of near images needs some of both sets.")
    return values <= real.quantile(QUANTILE)
