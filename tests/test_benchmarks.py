"""The benchmarks that need no other library run, in small."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from t2i_course.data import fashion
from t2i_course.places import data_root

ROOT = Path(__file__).parents[1]
HERE = fashion.problem() is None and (data_root() / "flickr8k").is_dir()


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="FashionMNIST and Flickr8k are not both here (see T2I_DATA)")
@pytest.mark.parametrize(
    "command",
    [
        "gan_effects.py 0.02 --seeds 1 --samples 200 --only collapsed --smoke",
        "sampling.py --smoke",
        "two_processes.py --smoke",
    ],
)
def test_a_benchmark_ends_with_a_table(command):
    words = [sys.executable, *shlex.split(f"benchmarks/{command}")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "\n| --- |" in done.stdout
