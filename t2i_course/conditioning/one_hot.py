"""The simplest condition: a label as a vector of zeros with a single one."""

import torch
from torch import Tensor

from t2i_course.contract import require


def one_hot(labels: Tensor, classes: int = 10) -> Tensor:
    """Labels `[B]` (int64, from 0 to `classes` − 1) as vectors `[B, classes]` (float32).

    Raises:
        T2IError: if a label is outside that range.
    """
    inside = len(labels) == 0 or (labels.min() >= 0 and labels.max() < classes)
    require(
        bool(inside), f"Labels must be from 0 to {classes - 1}, not {labels.unique().tolist()}."
    )
    return torch.nn.functional.one_hot(labels, classes).float()
