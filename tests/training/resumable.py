"""Trains a tiny CVAE in a process of its own, which the tests kill or start twice.

python resumable.py FOLDER STEPS [KILL]     KILL: "step:N" or "save:N:PLACE"
"""

import os
import signal
import sys
from pathlib import Path

from toys import ToyGAN, tiny_cvae, tiny_images

from t2i_course.training import checkpoints, engine
from t2i_course.training.settings import TrainSettings

FAMILIES = {"cvae": tiny_cvae, "gan": ToyGAN}


def settings(steps: int) -> TrainSettings:
    return TrainSettings(
        steps=steps, batch_size=8, precision="fp32", ema=0.9, checkpoint_every=5, log_every=1
    )


def kill_now(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_step(number: int) -> None:
    original = engine._Training._step

    def step(self: engine._Training) -> None:
        if self.step == number:
            kill_now()
        original(self)

    engine._Training._step = step  # type: ignore[method-assign]


def kill_in_save(number: int, place: str) -> None:
    """Dies in the `number`-th checkpoint: at its tensors, its rename or its line in `latest`."""
    calls = {"n": 0}
    target, name = {
        "tensors": (checkpoints, "save_file"),
        "rename": (Path, "rename"),
        "latest": (checkpoints, "write_whole"),
    }[place]
    original = getattr(target, name)
    each = 3 if place == "tensors" else 1  # files a checkpoint

    def patched(*args: object, **kwargs: object) -> object:
        calls["n"] += 1
        if calls["n"] == each * number:
            kill_now()
        return original(*args, **kwargs)

    setattr(target, name, patched)


if __name__ == "__main__":
    family, folder, steps, *kill = sys.argv[1:]
    if kill:
        what, number, *place = kill[0].split(":")
        if what == "step":
            kill_at_step(int(number))
        else:
            kill_in_save(int(number), place[0])
    engine.train(FAMILIES[family](), tiny_images(), settings(int(steps)), folder, progress=False)
