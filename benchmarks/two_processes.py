"""Images a second of training on photographs: one process against two, on one machine.

    python benchmarks/two_processes.py [--rounds 3] [--steps 40] [--smoke]

The course's own command, `t2i train diffusion-photos` on Flickr8k at 64 pixels with `tiny`'s words,
in real processes: alone on one thread, alone on two, and as two processes of one thread each that
`accelerate launch` joins by gloo. All compute the same steps of the same global batch. Writes
benchmarks/results/two_processes.md.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from t2i_course.contract import require, write_whole

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from on_two import ON_TWO

WAYS = {  # processes, threads of each
    "one process, one thread": (1, 1),
    "one process, two threads": (1, 2),
    "two processes, one thread each": (2, 1),
}
BATCH, WARM = 64, 5  # steps before the clock counts


def log_of(name: str, folder: Path, steps: int) -> list[dict[str, str]]:
    """Train; the rows of its log, one a step."""
    processes, threads = WAYS[name]
    command = [
        sys.executable, *(ON_TWO if processes > 1 else ()), "-m", "t2i_course.cli", "train",
        "diffusion-photos", "--data", "flickr8k", "--text", "clip-tiny", "--steps", str(steps),
        "--batch-size", str(BATCH), "--precision", "fp32", "--log-every", "1", "--run", str(folder),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    with (folder / "log.csv").open(encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def main(rounds: int, steps: int, smoke: bool) -> None:
    require(rounds >= 1 and steps > WARM, f"At least one round of {WARM + 1} steps is needed.")
    paces: dict[str, list[float]] = {name: [] for name in WAYS}
    losses: dict[str, list[float]] = {}  # the same in every round
    for number in range(rounds):
        for name in WAYS:  # in turn: a machine that changes changes for all
            with tempfile.TemporaryDirectory() as folder:
                rows = log_of(name, Path(folder) / "run", steps)
            seconds = float(rows[-1]["seconds"]) - float(rows[WARM - 1]["seconds"])
            paces[name].append(BATCH * (steps - WARM) / seconds)
            losses[name] = [float(row["unet/loss"]) for row in rows]
            print(f"round {number + 1}, {name}: {paces[name][-1]:.1f} images a second", flush=True)
    first, *_, last = WAYS
    off = max(abs(a / b - 1) for a, b in zip(losses[last], losses[first], strict=True))
    lines = [
        f"# One process and two: diffusion-photos on Flickr8k at 64 pixels ({rounds} rounds, in "
        "turn)", "",
        f"torch {torch.__version__}, fp32, global batch {BATCH}, {steps} steps of which the "
        f"first {WARM} are not timed; two cores of one machine, gloo. Median; in brackets the "
        "ratio to the first line in the same round.", "",
        "| | images a second |", "| --- | --- |",
    ]  # fmt: skip
    for name, own in paces.items():
        ratio = statistics.median(a / b for a, b in zip(own, paces[first], strict=True))
        lines.append(f"| {name} | {statistics.median(own):.1f} ({ratio:.2f} x) |")
    lines += ["", f"The {steps} losses of two processes are one's within {off:.1e} of their value."]
    text = "\n".join(lines) + "\n"
    print(text)
    if not smoke:
        write_whole(Path(__file__).parent / "results" / "two_processes.md", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--smoke", action="store_true", help="one short round; writes nothing")
    given = parser.parse_args()
    if given.smoke:
        given.rounds, given.steps = 1, WARM + 3
    main(given.rounds, given.steps, given.smoke)
