"""The exponential moving average of the weights that an optimizer walks through."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """A running average of a module's parameters: θ_ema ← d θ_ema + (1 − d) θ after each step.

    The decay ramps up, d = min(decay, (1 + step) / (10 + step)), so that the first, bad weights
    are soon forgotten (as in TensorFlow's `ExponentialMovingAverage`). Float buffers are averaged
    too, others are copied.

    Args:
        module: whose parameters are averaged; read, never written, except inside `swapped`. Its
            buffers must be written in place, as BatchNorm does.
        decay: in (0, 1); 0.999 averages over about the last thousand steps.
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self._module = module
        # The parameters themselves, kept: a walk through the modules at each step costs as much as
        # the averaging.
        values = module.state_dict(keep_vars=True)
        self.shadow = {name: value.detach().clone() for name, value in values.items()}
        floats = [name for name, value in values.items() if value.is_floating_point()]
        self._averages = [self.shadow[name] for name in floats]
        self._values = [values[name] for name in floats]
        self._copies = [(self.shadow[name], values[name]) for name in values.keys() - set(floats)]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the module's weights after step `step` (counted from 1)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._values, weight)
        for copy, value in self._copies:
            copy.copy_(value)

    def load(self, shadow: Mapping[str, Tensor]) -> None:
        """Continue from a saved average."""
        for name, value in self.shadow.items():
            value.copy_(shadow[name])

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside the block the module holds the average; after it, its own weights again."""
        own = {name: value.detach().clone() for name, value in self._module.state_dict().items()}
        self._module.load_state_dict(self.shadow)
        try:
            yield
        finally:
            self._module.load_state_dict(own)
