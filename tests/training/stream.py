"""Trains a tiny CVAE on shards in a process of its own, which the tests kill.

python stream.py SHARDS FOLDER WORKERS KILL     KILL: the step before which it dies, or -1
"""

import os
import signal
import sys
from pathlib import Path

import torch

from t2i_course.contract import Condition, TextEncoder, seed_of
from t2i_course.data.augment import Augmentation
from t2i_course.data.shards import ShardedImages
from t2i_course.models.conv_vae import ConvCVAE, ConvCVAESettings
from t2i_course.training import engine
from t2i_course.training.settings import TrainSettings


def numbers(captions: list[str]) -> Condition:
    """A vector that is a function of the caption."""
    rows = [[seed_of(text, k) % 100 / 100 for k in range(3)] for text in captions]
    return Condition.of(torch.tensor(rows))


if __name__ == "__main__":
    shards, folder, workers, kill = sys.argv[1:]
    data = ShardedImages(
        Path(shards), 16, TextEncoder("numbers", "0", 3, 0, numbers), Augmentation(0.5, 0.7),
        workers=int(workers),
    )  # fmt: skip
    small = {"image_shape": (3, 16, 16), "latent_dim": 2, "hidden": 8, "width": 2}
    family = ConvCVAE(ConvCVAESettings(**small, condition_dim=3))
    settings = TrainSettings(
        steps=10, batch_size=4, precision="fp32", checkpoint_every=5, log_every=1
    )
    step = engine._Training._step

    def deadly(self: engine._Training) -> None:
        if self.step == int(kill):
            os.kill(os.getpid(), signal.SIGKILL)
        step(self)

    engine._Training._step = deadly  # type: ignore[method-assign]
    engine.train(family, data, settings, folder, progress=False)
