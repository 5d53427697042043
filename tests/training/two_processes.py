"""Trains both toy families; started by `accelerate launch` on two processes, or plainly on one.

    two_processes.py FOLDER

Each optimizer step also checks that all processes hold the same gradient and learning rate. The
last run is by the clock, and the second process's clock is twice as fast.
"""

import sys
from pathlib import Path

import torch
from accelerate.state import PartialState
from accelerate.utils import gather
from toys import ToyGAN, tiny_cvae, tiny_images

from t2i_course.training import clock, engine
from t2i_course.training.settings import OptimizerSettings, TrainSettings

checked = 0
adamw_step = torch.optim.AdamW.step


def step(self, *args, **kwargs):
    global checked
    gradient = torch.cat([p.grad.flatten() for g in self.param_groups for p in g["params"]])
    everyone = gather(gradient[None])
    assert torch.equal(everyone, gradient.expand_as(everyone)), "the ranks hold other gradients"
    assert gradient.abs().sum() > 0
    rates = gather(torch.tensor([self.param_groups[0]["lr"]], dtype=torch.float64))
    assert (rates == rates[0]).all(), "the ranks have other learning rates"
    checked += 1
    return adamw_step(self, *args, **kwargs)


torch.optim.AdamW.step = step

for name, family in (("cvae", tiny_cvae(drop=0.2)), ("gan", ToyGAN())):
    for micro_batches in (1, 2):
        own = {network: OptimizerSettings(clip=0.1) for network in family.networks}
        settings = TrainSettings(
            steps=12, batch_size=16, micro_batches=micro_batches, log_every=1, precision="fp32",
            checkpoint_every=5, optimizers=own,
        )  # fmt: skip
        folder = Path(sys.argv[1]) / f"{name}-{micro_batches}"
        engine.train(family.__class__(family.settings), tiny_images(), settings, folder)
assert checked == 12 * 2 * 3
state = PartialState()
clock.now = lambda _: float((checked - 72) * (1 + state.process_index))
falls = {"cvae": OptimizerSettings(schedule="cosine")}
settings = TrainSettings(
    minutes=0.1, batch_size=16, log_every=1, precision="fp32", optimizers=falls
)
engine.train(tiny_cvae(), tiny_images(), settings, Path(sys.argv[1]) / "clock")
assert checked == 72 + 6
print(f"rank {state.process_index} of {state.num_processes}: {checked} equal gradients")
state.destroy_process_group()
