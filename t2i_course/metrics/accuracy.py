"""Class accuracy of conditional samples: does a judge see the class that was asked for?"""

import torch
from torch import Tensor

from t2i_course.contract import require


class ClassAccuracy:
    """Streaming accuracy, overall and per class, from a table of wanted against predicted labels.

    Read it beside its ceiling, the judge's accuracy on real images.

    Args:
        classes: K.

    Attributes:
        confusion: int64 `[K, K]`: how many samples of wanted class (row) were predicted as
            (column).
    """

    def __init__(self, classes: int):
        require(classes >= 1, f"There must be at least one class, not {classes}.")
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)

    def update(self, predicted: Tensor, wanted: Tensor) -> None:
        """Adds predicted and wanted labels, each an integer tensor `[B]` of values in 0..K-1.

        Raises:
            T2IError: if the shapes differ, or a label is not an integer from 0 to K-1.
        """
        require(
            predicted.ndim == 1 and predicted.shape == wanted.shape,
            "Predicted and wanted labels come as [B] each, not with shapes "
            f"{list(predicted.shape)} and {list(wanted.shape)}.",
        )
        labels = [_indices(predicted, "predicted"), _indices(wanted, "wanted")]
        K = len(self.confusion)
        for name, label in zip(("predicted", "wanted"), labels, strict=True):
            outside = label[(label < 0) | (label >= K)].tolist()
            require(
                not outside,
                f"{len(outside)} {name} labels are outside 0..{K - 1}; the first is {outside[:1]}.",
            )
        predicted, wanted = labels
        self.confusion += torch.bincount(wanted * K + predicted, minlength=K * K).view(K, K)

    @property
    def samples(self) -> int:
        """How many samples were counted."""
        return int(self.confusion.sum())

    @property
    def overall(self) -> float:
        """The share of all samples that show the wanted class; `T2IError` without samples."""
        require(self.samples > 0, "The accuracy of no samples is not defined: call update first.")
        return int(self.confusion.trace()) / self.samples

    @property
    def per_class(self) -> Tensor:
        """The same share for each wanted class, float64 `[K]`; NaN where none was wanted."""
        return self.confusion.diagonal().double() / self.confusion.sum(dim=1)


def _indices(labels: Tensor, name: str) -> Tensor:
    integer = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    require(integer, f"The {name} labels are integers, not {labels.dtype}; logits need an argmax.")
    return labels.detach().cpu().long()
