"""Benchmarks that need neither another library nor minutes run, in small."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from t2i_course.data import fashion

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(fashion.problem() is not None, reason="FashionMNIST is not here (set T2I_DATA)")
@pytest.mark.parametrize(
    "command",
    [
        "effects.py gan --minutes 0.02 --seeds 1 --samples 200 --only collapsed --smoke",
        "effects.py diffusion --minutes 0.02 --seeds 1 --samples 200 --only pixels --smoke",
        "sampling.py --smoke",
        "priors.py --smoke",
    ],
)
def test_a_benchmark_ends_with_a_table(command):
    words = [sys.executable, *shlex.split(f"benchmarks/{command}")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "\n| --- |" in done.stdout
