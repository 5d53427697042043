"""Freed memory stays with the process, where the C library can be told so."""

import platform

import pytest

from t2i_course.training import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_glibc_accepts_the_values():
    """It refuses a threshold above 32 MB, and says so only by what mallopt returns."""
    assert memory.keep_freed_memory()


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert not memory.keep_freed_memory.__wrapped__()
