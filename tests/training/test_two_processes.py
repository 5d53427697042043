"""Several processes at the same global batch compute what one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from on_two import ON_TWO

from t2i_course.training import checkpoints
from t2i_course.training.log import columns, read

HERE = Path(__file__).parent


def launch(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {
        **os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1", **variables
    }  # fmt: skip
    command = [sys.executable, *options, str(HERE / "two_processes.py"), str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_processes_that_would_train_alone_are_told_how_to_join(tmp_path):
    """Without the variable Accelerate sees no GPU and lets each process train the whole batch."""
    done = launch(tmp_path, *ON_TWO, CUDA_VISIBLE_DEVICES="")
    assert done.returncode != 0 and "2 processes were launched" in done.stderr
    assert not list(tmp_path.rglob("step-*"))


@pytest.mark.slow
def test_two_processes_follow_one_within_rounding_with_equal_gradients(tmp_path):
    """gloo on the CPU, started by `accelerate launch`; the script checks the gradients itself."""
    one = launch(tmp_path / "one")
    assert one.returncode == 0, one.stderr[-3000:]
    two = launch(tmp_path / "two", *ON_TWO, ACCELERATE_USE_CPU="true")
    assert two.returncode == 0, two.stderr[-3000:]
    for rank in (0, 1):
        assert f"rank {rank} of 2: 78 equal gradients" in two.stdout
    for run, rows in {"cvae-1": 12, "cvae-2": 12, "gan-1": 12, "gan-2": 12, "clock": 6}.items():
        one, two = (columns(read(tmp_path / name / run / "log.csv")) for name in ("one", "two"))
        assert one.keys() == two.keys() and len(one["step"]) == rows
        for name in one:
            assert name == "seconds" or two[name] == pytest.approx(one[name], rel=2e-4), (run, name)
        a, b = (checkpoints.find(tmp_path / name / run) for name in ("one", "two"))
        assert checkpoints.read_json(b, "card.json")["processes"] == 2
        for key, value in checkpoints.read_tensors(a, "weights").items():
            other = checkpoints.read_tensors(b, "weights")[key]
            torch.testing.assert_close(other, value, rtol=1e-3, atol=1e-4)
