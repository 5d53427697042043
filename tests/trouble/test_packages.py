"""Packages: each trouble is made by metadata that lies, or by a torch that cannot be imported."""

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

from t2i_course.trouble import packages


@pytest.fixture
def versions(monkeypatch):
    """Installed versions as a test says; None for a package that is not there."""
    said = {}
    real = importlib.metadata.version

    def version(name):
        if said.get(name, "") is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return said.get(name) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    return said


@pytest.fixture
def asked(monkeypatch):
    """What distributions ask for, as a test says."""
    said = {}
    real = importlib.metadata.requires
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda name: said[name] if name in said else real(name)
    )
    return said


def found(what):
    return [one for one in packages.findings() if one.what == what]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("2.11.0+cpu", (2, 11, 0)), ("3.0b1", (3, 0)), ("", ()), ("1.10", (1, 10))],
)
def test_versions_are_compared_by_their_numbers(text, numbers):
    assert packages.version(text) == numbers


def test_a_missing_package_is_fatal_and_installed_beside_the_torch_that_is_there(versions):
    versions.update({"safetensors": None, "torch": "2.12.1+cu128"})
    (one,) = found("safetensors")
    assert one.fatal and one.found == "missing" and "pip install safetensors" in one.mend
    assert one.command[:4] == (sys.executable, "-m", "pip", "install")
    assert "torch==2.12.1+cu128" in one.command and one.command[4].startswith("safetensors")


def test_a_package_that_is_too_old_is_fatal(versions, asked):
    asked["t2i-course"] = ["click>=8.2", 'pytest>=8.3; extra == "test"']
    versions["click"] = "8.1.7"
    (one,) = found("click")
    assert one.fatal and "8.1.7 is too old, 8.2 is needed" in one.found
    versions["click"] = "8.10"  # which is newer than 8.2
    assert not found("click") and not found("pytest")


@pytest.mark.parametrize(
    ("asks", "torch", "fits"),
    [
        ("torch (==2.11.0)", "2.11.0+cpu", True),
        ("torch (==2.11.0)", "2.12.0", False),
        ("torch (>=2.14.0)", "2.15.0", True),
        ("torch>=2.14.0", "2.13.1", False),
    ],
)
def test_a_torchvision_made_for_another_torch_is_fatal(versions, asked, asks, torch, fits):
    asked["torchvision"] = ["numpy", asks]
    versions.update({"torch": torch, "torchvision": "0.26.0"})
    (one,) = found("torch")[-1:]
    assert one.fatal != fits
    if not fits:
        assert torch in one.found and f"torch=={torch}" in one.command
        assert "torchvision" in one.command


def test_builds_for_different_devices_are_fatal(versions, asked):
    asked["torchvision"] = []
    versions.update({"torch": "2.15.0+cu132", "torchvision": "0.29.2+cpu"})
    assert "different devices" in found("torch")[-1].found


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (RuntimeError("operator torchvision::nms does not exist"), "the pair that fits"),
        (OSError("[WinError 126] Error loading c10.dll"), "Visual C++"),
        (ImportError("libcudart.so.13: cannot open shared object file"), "install it again"),
    ],
)
def test_a_torch_that_cannot_be_imported_is_fatal_with_the_mend_for_its_words(
    monkeypatch, error, hint
):
    def broken(name):
        raise error

    monkeypatch.setattr(packages.importlib, "import_module", broken)
    one = found("torch")[-1]
    assert one.fatal and str(error) in one.found and hint in one.mend


@pytest.mark.parametrize(
    ("attribute", "value", "hint"),
    [("version_info", (3, 10, 4), "3.11 or newer"), ("maxsize", 2**31 - 1, "64-bit")],
)
def test_a_python_that_is_too_old_or_too_small_is_fatal(monkeypatch, attribute, value, hint):
    monkeypatch.setattr(sys, attribute, value)
    (one,) = found("python")
    assert one.fatal and hint in one.mend


def test_a_python_without_an_environment_is_a_note(monkeypatch):
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    (one,) = found("python")
    assert one.mend and not one.fatal


def test_what_colab_lacks_is_installed_and_its_torch_is_held(monkeypatch, versions, asked):
    asked["t2i-course"] = ["torch>=2.11", "torch-fidelity>=0.4", "numpy>=1.26"]
    versions.update(
        {"torch-fidelity": None, "torch": "2.11.0+cu128", "torchvision": "0.26.0+cu128"}
    )
    ran = []
    done = subprocess.CompletedProcess((), 0)
    monkeypatch.setattr(packages.subprocess, "run", lambda command: ran.append(command) or done)
    assert packages.main() == 0
    (command,) = ran
    assert command[-3:] == (
        "torch-fidelity>=0.4",
        "torch==2.11.0+cu128",
        "torchvision==0.26.0+cu128",
    )
    versions["torch-fidelity"] = "0.4.0"
    assert packages.main() == 0 and len(ran) == 1


def test_colabs_torch_stays_even_if_it_is_old_and_its_jupyter_too(
    monkeypatch, capsys, versions, asked
):
    asked["t2i-course"] = ["torch>=2.11", "jupyterlab>=4.4", "nbval>=0.11"]
    versions.update({"torch": "2.9.0+cu126", "jupyterlab": None, "nbval": None})
    monkeypatch.setattr(packages.subprocess, "run", lambda command: pytest.fail(str(command)))
    assert packages.main() == 0
    assert (
        "torch 2.9.0+cu126 stays, though the course asks for torch>=2.11" in capsys.readouterr().out
    )


def test_nothing_that_may_be_broken_is_imported_before_it_is_looked_at():
    code = (
        "import sys, t2i_course.trouble.packages, t2i_course.trouble.notebooks, "
        "t2i_course.trouble.folders, t2i_course.trouble.network, t2i_course.trouble.devices\n"
        "names = {name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names\n"
        "heavy = names & {'torch', 'torchvision', 'numpy', 'psutil', 'jupyter_client', 'click'}\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
