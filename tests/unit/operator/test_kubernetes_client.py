"""How the cluster is reached: what the environment says about proxies is asked once, and ~/.netrc never."""

import asyncio
from pathlib import Path

import pytest

from pretrain_operator.bodies.kubernetes.client import configuration

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: it
clusters: [{name: it, cluster: {server: "https://cluster.example.com:6443"%s}}]
users: [{name: it, user: {token: secret}}]
contexts: [{name: it, context: {cluster: it, user: it}}]
"""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG % "")
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


def test_without_a_proxy_there_is_none() -> None:
    assert asyncio.run(configuration()).proxy is None


def test_the_proxy_of_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    assert asyncio.run(configuration()).proxy == "http://proxy.example.com:3128"


def test_an_address_that_needs_none_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", ".example.com")
    assert asyncio.run(configuration()).proxy is None


def test_the_proxy_of_the_kubeconfig_comes_first(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.write_text(KUBECONFIG % ', proxy-url: "http://own.example.com:8080"')
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    assert asyncio.run(configuration()).proxy == "http://own.example.com:8080"


def test_nothing_is_looked_up_for_each_request() -> None:
    assert asyncio.run(configuration()).client_session_kwargs == {"trust_env": False}
