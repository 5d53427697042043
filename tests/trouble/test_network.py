"""The network: proxies that are misspelt, silent, or in the way, on this machine's own ports."""

import socket

import pytest

from t2i_course.trouble import network

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in (*NAMES, *network.CERTIFICATES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_proxies_there_is_nothing_to_say():
    assert network.findings() == []


@pytest.mark.parametrize("address", ["proxy.school:8080", "http://proxy.school", "http://a:b:c"])
def test_an_address_that_is_none_is_said(monkeypatch, address):
    monkeypatch.setenv("https_proxy", address)
    first = network.findings()[0]
    assert "no address" in first.found and "http://host:port" in first.mend


def test_a_proxy_that_does_not_answer_is_said_without_its_password(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{port}")
    first = network.findings()[0]
    assert "does not answer" in first.found and "secret" not in str(first)


def test_a_proxy_that_answers_is_well_but_must_not_stand_before_this_machine(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        first, second = network.findings()
        assert "answers" in first.found and not first.mend
        assert "NO_PROXY=localhost,127.0.0.1" in second.mend
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        assert [one.mend for one in network.findings()] == [""]


def test_certificates_that_are_gone_are_said(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    (one,) = network.findings()
    assert "gone.pem" in one.found and one.mend
    (tmp_path / "gone.pem").write_text("here")
    assert network.findings() == []
