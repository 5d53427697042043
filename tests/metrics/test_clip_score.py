"""The CLIP score against torchmetrics, both formulas and what must hold of any cosine."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.multimodal.clip_score import clip_score as torchmetrics_clip_score

from t2i_course.errors import T2IError
from t2i_course.metrics.clip_score import clip_s, clip_score


def normal(n: int, D: int, seed: int) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_score_of_matching_pairs_is_torchmetrics() -> None:
    """Oracle: torchmetrics, with a model that hands out the embeddings (all cosines positive)."""
    captions = normal(20, 16, 0)
    images = captions + 0.5 * normal(20, 16, 1)

    class Model:
        config = SimpleNamespace()
        to = eval = lambda self, *_: self
        get_image_features = staticmethod(lambda pixels: images)
        get_text_features = staticmethod(lambda ids, mask: captions)

    def processor(**_: object) -> dict[str, Tensor]:
        return {
            name: torch.zeros(20, 1) for name in ("pixel_values", "input_ids", "attention_mask")
        }

    pictures, texts = list(torch.zeros(20, 3, 4, 4)), ["a"] * 20
    theirs = torchmetrics_clip_score(pictures, texts, lambda: (Model(), processor))  # type: ignore
    assert clip_score(images, captions)[0] == pytest.approx(theirs.item(), rel=1e-9)


@given(seed=st.integers(0, 2**32), length=st.floats(0.01, 100))
def test_both_scalings_are_their_formulas_and_lengths_do_not_matter(seed, length) -> None:
    """Oracle: the formulas, pair by pair; opposite embeddings count 0 and do not subtract."""
    images, captions = normal(7, 3, seed), normal(7, 3, seed + 1)
    cos = [
        sum(a * b for a, b in zip(x, y, strict=True))
        / (sum(a * a for a in x) * sum(b * b for b in y)) ** 0.5
        for x, y in zip(images.tolist(), captions.tolist(), strict=True)
    ]
    clipped = [max(c, 0.0) for c in cos]
    mean = sum(clipped) / 7
    error = (sum((c - mean) ** 2 for c in clipped) / 6 / 7) ** 0.5
    assert clip_score(images * length, captions) == pytest.approx((100 * mean, 100 * error))
    assert clip_s(images, captions * length) == pytest.approx((2.5 * mean, 2.5 * error))
    assert clip_score(images, -images) == (0, 0)


def test_embeddings_that_do_not_pair_are_an_error() -> None:
    with pytest.raises(T2IError, match=r"not with shapes \[3, 2\] and \[4, 2\]"):
        clip_score(normal(3, 2, 0), normal(4, 2, 0))
    with pytest.raises(T2IError, match="not finite"):
        clip_s(normal(3, 2, 0) * torch.nan, normal(3, 2, 0))
    with pytest.raises(T2IError, match="needs 2 pairs, not 1"):
        clip_s(normal(1, 2, 0), normal(1, 2, 0))
