"""RePaint on a correlated Gaussian pair, whose conditional is known."""

import pytest
import torch
from exact import ALL_PATHS
from torch import Tensor

from t2i_course.contract import RowGenerator, T2IError
from t2i_course.diffusion.inpainting import repaint
from t2i_course.diffusion.objectives import Denoise
from t2i_course.diffusion.schedules import Path, path, times

CORRELATION = 0.8
KNOWN = torch.tensor([1.0, torch.nan]).double()  # what is not known is not looked at
MASK = torch.tensor([True, False])
FLOW = path("flow")


def pair(path: Path) -> Denoise:
    """E[x_0 | x_t] of N(0, [[1, ρ], [ρ, 1]]), in the basis where it is two single Gaussians."""
    Q = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double() / 2**0.5
    variance = torch.tensor([1 + CORRELATION, 1 - CORRELATION]).double()

    def denoise(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        c = path.at(t).like(x_t)
        whitened = x_t @ Q / (c.a**2 * variance + c.s**2)
        return (c.a * variance * whitened) @ Q, (c.s * whitened) @ Q

    return denoise


def filled(path: Path, steps: int, resample: int, n: int = 2_000) -> Tensor:
    x = repaint(
        pair(path), KNOWN.expand(n, 2), MASK, times(path, steps), path,
        RowGenerator("repaint", rows=n), resample=resample,
    )  # fmt: skip
    assert (x[:, 0] == 1).all()
    return x[:, 1]


@pytest.mark.parametrize("path", ALL_PATHS, ids=lambda path: path.name)
def test_the_known_part_is_kept_and_the_unknown_comes_to_fit_it_by_resampling(path):
    """Oracle: x_2 given x_1 = 1 has mean ρ = 0.8; with one pass the two parts hardly meet."""
    once, often = filled(path, 25, 1).mean(), filled(path, 25, 20).mean()
    assert once < 0.6
    assert abs(often - 0.8) < 0.08


def test_the_spread_comes_to_be_that_of_the_conditional_as_steps_grow():
    """Oracle: x_2 given x_1 has variance 1 − ρ² = 0.36; ancestral steps lack some of it."""
    few, many = filled(FLOW, 20, 10).var(), filled(FLOW, 160, 10).var()
    assert few < 0.29
    assert abs(many - 0.36) < 0.04


def test_a_mask_of_another_shape_is_broadcast_and_rows_do_not_depend_on_the_batch():
    known = torch.linspace(-1, 1, 50).view(50, 1, 1, 1).expand(50, 1, 4, 4)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[:, :2] = True

    def fill(rows: range) -> Tensor:
        generator = RowGenerator("rows", rows=rows)
        part = known[rows.start : rows.stop]
        return repaint(
            lambda x, t: (0.5 * x, x), part, mask, times(FLOW, 3), FLOW, generator, resample=2
        )

    whole = fill(range(0, 50))
    assert whole[..., :2].equal(known[..., :2])
    torch.testing.assert_close(torch.cat([fill(range(0, 9)), fill(range(9, 50))]), whole)


def test_the_cost_is_what_the_docstring_says():
    seen: list[float] = []
    repaint(
        pair(FLOW), KNOWN.expand(2, 2), MASK, times(FLOW, 4), FLOW, RowGenerator(0, rows=2),
        resample=3, watch=lambda t, x_t, x_0: seen.append(t),
    )  # fmt: skip
    assert seen == [1.0] * 3 + [0.75] * 3 + [0.5] * 3 + [0.25]


def test_a_wrong_use_says_what_is_wrong():
    args = (pair(FLOW), KNOWN.expand(2, 2))
    rest = (times(FLOW, 2), FLOW, RowGenerator(0, rows=2))
    with pytest.raises(T2IError, match="resample"):
        repaint(*args, MASK, *rest, resample=0)
    with pytest.raises(T2IError, match="True = known"):
        repaint(*args, MASK.float(), *rest)
