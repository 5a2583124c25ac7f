"""Wrong invocations of the cluster commands: exit code 2, one message that says what to write, no traceback."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.jobs import a_job

from pretrain_cli.main import main


def kubeconfig(**changes: object) -> str:
    """A kubeconfig of a server that nobody listens as."""
    content = {
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [
            {"name": "lab", "context": {"cluster": "lab", "user": "me"}},
            {"name": "production", "context": {"cluster": "lab", "user": "me", "namespace": "research"}},
            {"name": "broken", "context": {"cluster": "gone", "user": "me"}},
        ],
        "current-context": "lab",
    }  # fmt: skip
    return json.dumps({**content, **changes})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a job, and a kubeconfig whose server does not answer."""
    job = a_job().with_spec(storage={"uri": "s3://bucket/run"}).manifest
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    named = {**job, "metadata": {"name": "test", "namespace": "research"}}
    (tmp_path / "research.yaml").write_text(yaml.safe_dump(named))
    (tmp_path / "run").mkdir()
    (tmp_path / "folder" / "status.json").mkdir(parents=True)
    for name, text in {
        "kubeconfig": kubeconfig(),
        "empty": "",
        "text": "hello",
        "list": "[1, 2]",
        "tabs": "a:\n\tb: 1\n",
        "no-current": kubeconfig(**{"current-context": ""}),
        "no-contexts": kubeconfig(contexts=[]),
        "no-file": kubeconfig(
            clusters=[{"name": "lab", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority": "no.crt"}}]
        ),
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary").write_bytes(bytes(range(128, 256)))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


WRONG: list[tuple[str, str]] = [
    # Which cluster
    ("list --kubeconfig nowhere", "nowhere: no such kubeconfig, so no cluster is known. Give --kubeconfig FILE"),
    ("list --kubeconfig empty", "[kubeconfig-invalid]"),
    ("list --kubeconfig text", "text: not a kubeconfig"),
    ("list --kubeconfig list", "list: not a kubeconfig"),
    ("list --kubeconfig tabs", "tabs: not a kubeconfig"),
    ("list --kubeconfig binary", "binary: not a kubeconfig"),
    ("list --kubeconfig no-current", "no current context is set. Contexts: broken, lab, production. [unknown-context]"),
    ("list --kubeconfig no-contexts", "no context is called lab. The file has no contexts."),
    ("list --kubeconfig no-file", "context lab cannot be used"),
    ("list --context producktion", "no context is called producktion. Write --context production. [unknown-context]"),
    ("list --context broken", "context broken cannot be used"),
    ("list", "http://127.0.0.1:1: the API server does not answer: Connection refused"),
    ("get gpt", "[cluster-unreachable]"),
    ("describe gpt", "[cluster-unreachable]"),
    ("submit job.yaml", "[cluster-unreachable]"),
    ("wait gpt --for checkpoint", "[cluster-unreachable]"),
    ("suspend gpt", "[cluster-unreachable]"),
    ("delete gpt", "[cluster-unreachable]"),
    ("logs gpt", "[cluster-unreachable]"),
    ("logs run", "For the run in the folder, write ./run. [cluster-unreachable]"),
    # Which jobs
    ("get", "Missing argument 'NAME...'"),
    ("describe", "Missing argument 'NAME...'"),
    ("suspend", "Which jobs? Write names, --all or -l LABELS."),
    ("resume gpt --all", "Write either names, --all or -l LABELS."),
    ("delete", "Which jobs? Write names, --all or -l LABELS."),
    ("delete gpt -l team=search", "Write either names, --all or -l LABELS."),
    ("list -A -n research", "Write either -A or -n, not both."),
    ("get one two --watch", "--watch takes one name; `pretrain list --watch` shows all jobs."),
    # What for
    ("wait gpt", "Missing option '--for'"),
    ("wait gpt --for Succeeded", "--for Succeeded is nothing to wait for. Write condition=TYPE"),
    ("wait gpt --for state=Trainingg", "Did you mean Training?"),
    ("wait gpt --for step=many", "many is no number of steps. Write step=100."),
    ("wait gpt --for checkpoint --timeout soon", "soon is no duration. Write 90s, 5m or 1h30m."),
    ("logs gpt --since 99999999999h", "99999999999h is longer than ten years."),
    ("suspend gpt --timeout 5m", "--timeout goes with --wait."),
    ("delete gpt --cascade all", "'all' is not one of 'background', 'foreground', 'orphan'"),
    ("list -o table", "'table' is not one of"),
    # Submit
    ("submit", "Missing argument 'FILE'"),
    ("submit jobb.yaml", "jobb.yaml: no such file. Write job.yaml. [job-not-found]"),
    ("submit job.yaml --set spec.training.steps=zero", "--set spec.training.steps=zero: spec.training.steps:"),
    ("submit job.yaml --wait --watch", "Write either --wait or --watch."),
    ("submit job.yaml --dry-run=server --watch", "--dry-run makes no job to wait for."),
    ("submit job.yaml --dry-run=maybe", "'maybe' is not one of 'client', 'server'"),
    ("submit research.yaml -n other", "research is not the namespace that -n gives (other). Write -n research"),
    # Logs
    ("logs", "Missing argument 'NAME|FILE|STORAGE_URI'"),
    ("logs gpt --set a=b", "--set goes with a job file."),
    ("logs gpt --previous --follow", "--previous goes without --follow"),
    ("logs gpt --tail -1", "-1 is not in the range x>=0"),
    ("logs gpt --stage Training", "'Training' is not one of 'collect'"),
    (
        "logs job.yaml --worker 3",
        "--worker goes with the NAME of a job in the cluster; job.yaml is a file or an address.",
    ),
    ("logs ./run --previous", "--previous goes with the NAME of a job in the cluster"),
    ("logs ./run -n research", "-n goes with the NAME of a job in the cluster"),
    # Doctor
    ("doctor --set a=b", "--set goes with a job file."),
    ("doctor --local -n research", "--local looks at no cluster: leave -n, --context and --kubeconfig out."),
    ("doctor --kubeconfig nowhere", "nowhere: no such kubeconfig"),
    ("doctor nowhere.yaml", "[job-not-found]"),
    # Where it runs
    *(
        (f"{words} foo://x", "foo://x: its protocol cannot be used: Protocol not known: foo. Write a path, s3://...")
        for words in ("status", "report", "logs", "watch", "track --to tensorboard --folder events")
    ),
    ("status abfs://x/y", "abfs://x/y: its protocol cannot be used: Install adlfs"),
    *(
        (f"{words} ./folder", "folder/status.json: it is a folder, where a run has its state.")
        for words in ("status", "report", "logs", "watch")
    ),
    *(
        (f"{words} gpt --kubeconfig nowhere", "Of a run on this machine, write its job file or its folder: ./gpt.")
        for words in ("report", "logs", "watch", "track --to tensorboard --folder events")
    ),
    ("status gpt", "`pretrain describe NAME` shows a job in the cluster. [no-run]"),
    ("describee gpt", "Did you mean describe?"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[words for words, _ in WRONG])
def test_is_told(here: Path, capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    code = main(words.split())
    printed = capsys.readouterr()
    assert said in re.sub(r"\s*\n\s*", " ", printed.err)
    assert "Traceback" not in printed.err
    assert (code, printed.out) == (2, "")


def test_asking_needs_a_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Callable[[list[str]], int] = main
    assert answer(["delete", "gpt", "--interactive"]) == 2
    assert "--interactive needs a terminal to ask on." in capsys.readouterr().err
