"""Class accuracy against counts made by hand."""

import pytest
import torch

from t2i_course.errors import T2IError
from t2i_course.metrics.accuracy import ClassAccuracy

WANTED = torch.tensor([0, 0, 0, 1, 1, 3])
PREDICTED = torch.tensor([0, 1, 0, 1, 3, 1])


@pytest.mark.parametrize("batch", [1, 4, 6])
def test_accuracy_counts_overall_and_per_wanted_class_in_any_batches(batch: int) -> None:
    """Oracle, by hand: 3 of 6; class 0 two of three, 1 one of two, 2 never wanted, 3 none."""
    accuracy = ClassAccuracy(4)
    for predicted, wanted in zip(PREDICTED.split(batch), WANTED.split(batch), strict=True):
        accuracy.update(predicted, wanted)
    assert accuracy.samples == 6
    assert accuracy.overall == 0.5
    per_class = torch.tensor([2 / 3, 1 / 2, torch.nan, 0], dtype=torch.float64)
    torch.testing.assert_close(accuracy.per_class, per_class, equal_nan=True)
    assert accuracy.confusion[0].tolist() == [2, 1, 0, 0]  # wanted 0


def test_labels_that_cannot_be_are_an_error_and_are_not_counted() -> None:
    accuracy = ClassAccuracy(4)
    with pytest.raises(T2IError, match=r"1 predicted labels are outside 0\.\.3"):
        accuracy.update(torch.tensor([0, 4]), torch.tensor([0, 1]))
    with pytest.raises(T2IError, match="1 wanted labels are outside"):
        accuracy.update(torch.tensor([0, 1]), torch.tensor([0, -1]))
    with pytest.raises(T2IError, match="argmax"):
        accuracy.update(torch.rand(2), torch.tensor([0, 1]))
    with pytest.raises(T2IError, match=r"\[3\] and \[2\]"):
        accuracy.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1]))
    assert accuracy.samples == 0
    with pytest.raises(T2IError, match="no samples"):
        _ = accuracy.overall
