"""No test reads the user's settings or writes into the user's runs."""

import pytest


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("T2I_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("T2I_PROFILE", raising=False)
    monkeypatch.delenv("T2I_STAND_IN", raising=False)
