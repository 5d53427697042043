"""Freed memory stays with the process: in a process of its own, since there is no way back."""

import subprocess
import sys

import pytest

from t2i_course.training.memory import keep_freed_memory

PROGRAM = """
import resource, sys, torch
from t2i_course.training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
step = lambda: sum(torch.ones(4_000_000)[0] for _ in range(3))
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="this C library has no mallopt")
def test_a_step_no_longer_waits_for_fresh_pages():
    assert faults("keep") < faults("give back") / 20
