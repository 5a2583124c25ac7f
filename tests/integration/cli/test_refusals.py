"""What the API server does not let one do, and what is missing from it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support.cluster.control_plane import ControlPlane
from support.command_place import CommandPlace

from pretrain_cli.cluster.connection import ServerError, connect

CRD = "pretrainjobs.pretrain.dev"


@pytest.fixture
def stranger(place: CommandPlace, api_server: ControlPlane) -> str:
    """The kubeconfig of a user without any role."""
    return str(api_server.kubeconfig_for(f"stranger-{place.namespace}"))


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        ("list -n {namespace}", "cannot list resource"),
        ("list -A", "at the cluster scope"),
        ("get gpt -n {namespace}", "cannot get resource"),
        ("wait gpt -n {namespace} --for checkpoint", "cannot list resource"),
        ("suspend gpt -n {namespace}", "cannot get resource"),
        ("logs gpt -n {namespace}", "cannot get resource"),
        ("submit {file} -n {namespace}", "cannot get resource"),
    ],
)
def test_what_one_may_not_do_is_told_with_verb_and_resource(
    place: CommandPlace, stranger: str, words: str, verb: str
) -> None:
    arguments = words.format(namespace=place.namespace, file=place.file()).split()
    printed = place.run(*arguments, "--kubeconfig", stranger)
    assert (printed.code, printed.out) == (2, "")
    assert verb in printed.err
    assert "pretrainjobs" in printed.err
    assert "[forbidden]" in printed.err
    assert "Traceback" not in printed.err


def test_describe_shows_the_job_to_those_who_may_not_see_its_pods(
    place: CommandPlace, api_server: ControlPlane, stranger: str
) -> None:
    place.submitted("gpt")
    user = f"stranger-{place.namespace}"
    scope = ("-n", place.namespace)
    place.kubectl("create", "role", "reader", "--verb=get,list", f"--resource={CRD}", *scope)
    place.kubectl("create", "rolebinding", "reader", "--role=reader", f"--user={user}", *scope)
    printed = place.run("describe", "gpt", "--kubeconfig", stranger, *scope)
    assert printed.code == 0
    assert "gpt: Pending" in printed.out
    assert f'note: not allowed: User "{user}" cannot list resource "pods"' in printed.out


def test_a_user_whom_the_server_does_not_know(place: CommandPlace) -> None:
    content = json.loads(place.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": "expired"}
    (place.folder / "expired").write_text(json.dumps(content))
    printed = place.run("list", "--kubeconfig", str(place.folder / "expired"))
    assert (printed.code, "Log in again" in printed.err, "[not-logged-in]" in printed.err) == (2, True, True)


def test_a_server_whose_certificate_is_not_trusted(place: CommandPlace) -> None:
    content = json.loads(place.kubeconfig.read_text())
    del content["clusters"][0]["cluster"]["certificate-authority"]
    (place.folder / "untrusting").write_text(json.dumps(content))
    printed = place.run("list", "--kubeconfig", str(place.folder / "untrusting"))
    assert (printed.code, "[cluster-certificate]" in printed.err) == (2, True)


def test_names_from_elsewhere_are_looked_for(place: CommandPlace) -> None:
    name = f"only-in-{place.namespace}"  # other tests' namespaces are still there
    place.submitted(name)
    assert f"Did you mean {name}? [no-such-job]" in place.run("get", name[:-1]).err
    assert f"There is one in namespace {place.namespace}: add -n" in place.run("get", name, "-n", "nowhere").err
    assert "[no-such-namespace]" in place.run("submit", place.file(), "-n", "nowhere").err


class Elsewhere(BaseHTTPRequestHandler):
    """Something that listens where an API server was expected."""

    code, text = 404, b"404 page not found\n"

    def do_GET(self) -> None:
        self.send_response(self.code)
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_: object) -> None:
        """A test's output is for the test."""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    content = {
        "clusters": [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "users": [], "contexts": [{"name": "lab", "context": {"cluster": "lab"}}], "current-context": "lab",
    }  # fmt: skip
    (tmp_path / "elsewhere").write_text(json.dumps(content))
    yield str(tmp_path / "elsewhere")
    server.shutdown()
    serving.join()
    server.server_close()


def test_a_server_without_the_crd_says_how_to_install_it(place: CommandPlace, elsewhere: str) -> None:
    printed = place.run("list", "--kubeconfig", elsewhere)
    assert printed.code == 2
    assert "the operator's CRD is not installed. Install it: kubectl apply --server-side" in printed.err


def test_a_server_that_fails_is_no_mistake_of_ours(
    place: CommandPlace, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Elsewhere, "code", 503)
    monkeypatch.setattr(Elsewhere, "text", b"<html>gateway</html>")
    printed = place.run("list", "--kubeconfig", elsewhere)
    assert (printed.code, "answered 503: <html>gateway</html>. Try again in a moment." in printed.err) == (1, True)
    with pytest.raises(ServerError):
        connect(elsewhere).read("/api")
