"""What lowers a network's loss: AdamW, or Muon for its matrices and AdamW for the rest."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from t2i_course.training.checkpoints import pack_optimizer, unpack_optimizer
from t2i_course.training.settings import OptimizerSettings

SMALLEST = 32  # rows and columns from which on a weight is a matrix to Muon
NEWTON_SCHULZ = 3  # iterations; the default 5 take longer and gain nothing that we could measure


class Optimizer:
    """The optimizer of one network, with its learning rates and its state as tensors.

    Args:
        parameters: of the network.
        settings: see `OptimizerSettings`.
    """

    def __init__(self, parameters: list[nn.Parameter], settings: OptimizerSettings):
        self.settings = settings
        matrices = [p for p in parameters if settings.muon is not None and _is_matrix(p)]
        rest = [p for p in parameters if not any(p is matrix for matrix in matrices)]
        decay = settings.weight_decay
        self._parts: dict[str, torch.optim.Optimizer] = {}
        if rest:
            self._parts[""] = torch.optim.AdamW(
                rest, settings.lr, settings.betas, weight_decay=decay, fused=True
            )
        if matrices:
            self._parts["muon."] = torch.optim.Muon(
                matrices, settings.lr, weight_decay=decay, ns_steps=NEWTON_SCHULZ,
                adjust_lr_fn="match_rms_adamw",
            )  # fmt: skip

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts.values():
            part.zero_grad()

    def step(self, step: int, share: float) -> None:
        """Update the parameters in step `step` (from 0), `share` of the run being done before."""
        scale = self.settings.scale_at(step, share)
        for name, part in self._parts.items():
            lr = self.settings.lr if name == "" else self.settings.muon
            assert lr is not None
            for group in part.param_groups:
                group["lr"] = lr * scale
            part.step()

    def pack(self) -> dict[str, Tensor]:
        """The state as tensors by name."""
        return {
            name + key: value
            for name, part in self._parts.items()
            for key, value in pack_optimizer(part).items()
        }

    def unpack(self, packed: Mapping[str, Tensor]) -> None:
        """Take the state that `pack` gave."""
        for name, part in self._parts.items():
            own = {
                key.removeprefix(name): value
                for key, value in packed.items()
                if key.startswith("muon.") == (name == "muon.")
            }
            unpack_optimizer(part, own)


def clip_gradients(parameters: list[nn.Parameter], largest: float) -> Tensor:
    """Scale the gradients down to the norm `largest` if theirs is above it; their norm before.

    As `torch.nn.utils.clip_grad_norm_`, which multiplies them by 1 where there is nothing to clip.
    """
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    # On the CPU a look at the norm costs nothing; a GPU would have to be waited for.
    if not (norm.is_cpu and norm <= largest):
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm


def _is_matrix(parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and min(parameter.shape) >= SMALLEST
