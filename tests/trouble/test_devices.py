"""Devices: machines that we do not have, as torch and the system would describe them."""

import pytest

from t2i_course.trouble import devices
from t2i_course.trouble.devices import Card, Devices

NEW, OLD = Card("H100", 80.0, (9, 0)), Card("GTX 960", 4.0, (5, 2))
CUDA = {"torch": "2.15.0+cu132", "cuda": "13.2", "architectures": ("sm_75", "sm_90", "sm_120a")}


@pytest.mark.parametrize(
    ("here", "profile", "says", "mend", "fatal"),
    [
        (Devices("2.15.0", "13.2"), "laptop", "none", "", False),
        (Devices("2.15.0", "13.2"), "gpu", "none", "T2I_PROFILE=laptop", False),
        (Devices(**CUDA, cards=(NEW, NEW)), "gpu", "2 x H100, 80 GB", "", False),
        (Devices(**CUDA, cards=(NEW,)), "laptop", "1 x H100", "T2I_PROFILE=gpu", False),
        (Devices(**CUDA, cards=(OLD,)), "laptop", "compute capability 5.2", "older torch", True),
        (Devices(**{**CUDA, "architectures": ("sm_50", "sm_90")}, cards=(OLD,)), "gpu",
         "4 GB", "--micro-batches", False),
        (Devices("2.15.0+cpu", None, nvidia=True), "laptop", "for the CPU only", "CUDA", False),
        (Devices(**CUDA, nvidia=True), "laptop", "driver is too old", "Update the driver", False),
        (Devices(**CUDA, nvidia=True, hidden=True), "gpu", "hidden", "Unset", False),
        (Devices("2.15.0", None, system="Darwin", mps_built=True, mps=True), "laptop",
         "float64", "", False),
        (Devices("2.15.0", None, system="Darwin", mps_built=True), "laptop", "macOS", "14", False),
        (Devices("2.15.0", None, system="Darwin", rosetta=True), "laptop", "Intel", "arm64", False),
    ],
)  # fmt: skip
def test_each_machine_gets_the_sentence_that_helps(here, profile, says, mend, fatal):
    (one,) = devices.findings(here, profile)
    assert says in one.found and mend in one.mend and bool(one.mend) == bool(mend)
    assert one.fatal == fatal


def test_this_machine_can_be_described():
    here = devices.seen()
    assert here.torch and devices.findings(here, "laptop")
