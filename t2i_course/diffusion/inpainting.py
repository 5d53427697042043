"""Filling in the unknown part of an image with a model that was never trained for it."""

import torch
from torch import Tensor

from t2i_course.contract import RowGenerator, require
from t2i_course.diffusion.objectives import Denoise
from t2i_course.diffusion.samplers import Watch, evaluate, noise_like, p_sample, steps
from t2i_course.diffusion.schedules import Path, posterior, q_sample


@torch.no_grad()
def repaint(
    denoise: Denoise,
    known: Tensor,
    mask: Tensor,
    times: Tensor,
    path: Path,
    generator: RowGenerator,
    resample: int = 10,
    watch: Watch | None = None,
) -> Tensor:
    """Images that are `known` where `mask` is True and drawn to fit it elsewhere.

    RePaint (Lugmayr et al. 2022, algorithm 1, with jumps of one step): in each step x_u is put
    together from the known part with fresh noise, q(x_u | x_0), and the unknown part of an
    ancestral step; then it is diffused back, q(x_t | x_u), and the step is done again, `resample`
    times in all, so that the two parts come to agree. With 1 they hardly do: the mean is pulled
    towards that of all images. The spread of the unknown part is a little small, as that of
    ancestral steps is. S steps cost (S − 1) · resample + 1 evaluations: the last adds no noise and
    is done once.

    Args:
        denoise, times, path, generator, watch: as in `samplers`; times[0] is where noise begins.
        known: `[B, …]` in [-1, 1]; what it holds where `mask` is False does not matter.
        mask: bool, True where `known` is kept; of its shape, or broadcast to it.
        resample: U of the paper, at least 1.
    """
    require(resample >= 1, f"resample must be at least 1, not {resample}.")
    require(mask.dtype == torch.bool, f"mask must be bool (True = known), not {mask.dtype}.")
    x = noise_like(known, generator)
    for t, u in steps(times):
        back = posterior(path, t, u)
        for again in reversed(range(resample if u > 0 else 1)):
            x_0, _ = evaluate(denoise, x, t, watch)
            unknown = p_sample(x, x_0, t, u, path, generator)
            fitting = q_sample(path, known, u, noise_like(known, generator)) if u > 0 else known
            x = torch.where(mask, fitting, unknown)
            if again:
                x = back.ratio * x + back.beta.sqrt() * noise_like(x, generator)
    return x
