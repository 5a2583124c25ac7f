"""A run whose storage and documents are on an S3 server: the same result as in a folder, and clear words in trouble."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import yaml
from support import token_runs
from support.cluster.missing import visibly
from support.cluster.s3 import S3Server
from support.cluster.s3 import s3_server as an_s3_server
from support.corpora import texts
from support.eventually import eventually
from support.jobs import JobBuilder, a_job
from support.ledger_runs import LedgerRun

from pretrain_api.errors import EXIT_FAILURE, EXIT_USER_ERROR
from pretrain_api.events import ENV_OUTCOME, Outcome
from pretrain_api.storage import Storage
from pretrain_trainer.agent.place import ENV_RESTARTS
from pretrain_trainer.training.commit_log import read_log

PRETRAIN = str(Path(sys.executable).parent / "pretrain")
COMPARED = ("documents", "tokenizer", "shards", "evaluation", "export")


def environment(server: S3Server, **changes: str) -> dict[str, str]:
    """A user's own, with the server's keys. The job alone names the address."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    keys = {name: value for name, value in server.environment.items() if name != "AWS_ENDPOINT_URL"}
    return {**own, **keys, "AWS_EC2_METADATA_DISABLED": "true", "OMP_NUM_THREADS": "1", **changes}


def contents(root: Path) -> dict[str, str]:
    """Checksums of what the stages made. The server keeps its objects as files."""
    paths = [path for part in COMPARED for path in (root / part).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def trained(root: Path) -> object:
    (record,) = (json.loads(path.read_text()) for path in (root / "stages" / "train").glob("*.json"))
    return record["details"]["parametersSha256"]


def pretrain_run(folder: Path, job: JobBuilder, server: S3Server, **more: str) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.yaml").write_text(yaml.safe_dump(job.manifest))
    with (folder / "output").open("ab") as output:
        return subprocess.Popen(
            [PRETRAIN, "run", str(folder / "job.yaml")],
            env=environment(server, XDG_STATE_HOME=str(folder / "state"), **more),
            stdout=output,
            stderr=output,
        )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_whole_run_killed_once_ends_as_in_a_folder(tmp_path: Path, s3_server: S3Server) -> None:
    raw = s3_server.buckets / "raw"
    raw.mkdir()
    for number in range(3):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in islice(texts(number), 30))
        (raw / f"{number}.jsonl").write_text(lines)
    s3_server.make_bucket("runs")
    sources = [{"name": "web", "documents": "s3://raw/*.jsonl"}]
    training = {"sequenceLength": 64, "globalBatchSize": 4, "microBatchSize": 4, "steps": 300, "precision": "fp32"}
    job = a_job().with_spec(
        data={"sources": sources, "prepare": {"deduplicate": {"exact": {}, "minhash": {}}, "parallelism": 1},
              "validation": {"fraction": 0.05}},
        training=training, checkpoint={"everySeconds": 1}, evaluation={"everySteps": 0},
    )  # fmt: skip
    in_store = job.with_spec(storage={"uri": "s3://runs/one", "endpointUrl": s3_server.url})
    in_folder = job.with_spec(storage={"uri": str(tmp_path / "run")})
    root = s3_server.buckets / "runs" / "one"

    killed = pretrain_run(tmp_path / "store", in_store, s3_server)
    eventually(lambda: token_runs.commits(root), within_seconds=600)
    killed.kill()
    killed.wait()
    assert not (root / "stages" / "train").exists()
    assert pretrain_run(tmp_path / "store", in_store, s3_server).wait(timeout=600) == 0
    output = (tmp_path / "store" / "output").read_text()
    assert "resumed at step" in output
    assert "skipped (done before)" in output

    found = {"AWS_ENDPOINT_URL": s3_server.url}
    assert pretrain_run(tmp_path / "folder", in_folder, s3_server, **found).wait(timeout=600) == 0
    assert contents(root) == contents(tmp_path / "run") != {}
    assert trained(root) == trained(tmp_path / "run")


class TestTrouble:
    @pytest.fixture
    def job(self, tmp_path: Path, s3_server: S3Server) -> JobBuilder:
        (tmp_path / "a.txt").write_text("A document.\n" * 20)
        s3_server.make_bucket("trouble")
        data = {"sources": [{"name": "a", "documents": str(tmp_path / "a.txt")}]}
        return a_job().with_spec(storage={"uri": "s3://trouble/run", "endpointUrl": s3_server.url}, data=data)

    def told(
        self, folder: Path, job: JobBuilder, server: S3Server, *, code: int = EXIT_USER_ERROR, **keys: str
    ) -> Outcome:
        """What Collect's program says of its end."""
        (folder / "job.json").write_text(json.dumps(job.manifest))
        (folder / "outcome.json").unlink(missing_ok=True)
        own = environment(server, **{ENV_OUTCOME: str(folder / "outcome.json")}, **keys)
        own = {name: value for name, value in own.items() if value}
        command = [sys.executable, "-m", "pretrain_trainer", "--stage", "Collect", "--job", str(folder / "job.json")]
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=180)
        assert done.returncode == code, done.stderr
        return Outcome.model_validate_json((folder / "outcome.json").read_bytes())

    def test_a_missing_bucket(self, tmp_path: Path, s3_server: S3Server, job: JobBuilder) -> None:
        storage = {"uri": "s3://nowhere/run", "endpointUrl": s3_server.url}
        outcome = self.told(tmp_path, job.with_spec(storage=storage), s3_server)
        assert outcome.code == "storage-missing"
        assert outcome.message == (
            "spec.storage.uri: The bucket of s3://nowhere/run does not exist. "
            "Make the bucket, or write the address of one that exists. [storage-missing]"
        )
        run = pretrain_run(tmp_path, job.with_spec(storage=storage), s3_server)
        assert run.wait(timeout=120) == EXIT_USER_ERROR
        assert "[storage-missing]" in (tmp_path / "output").read_text()

    @pytest.mark.parametrize(
        ("keys", "code"),
        [
            ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "no-permission"),
            ({"AWS_ACCESS_KEY_ID": "nobody"}, "no-permission"),
            ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no-credentials"),
        ],
    )
    def test_wrong_or_no_credentials(
        self, tmp_path: Path, s3_server: S3Server, job: JobBuilder, keys: dict[str, str], code: str
    ) -> None:
        outcome = self.told(tmp_path, job, s3_server, **keys)
        assert outcome.code == code
        assert outcome.message.startswith("spec.storage.uri: s3://trouble/run ")
        assert "spec.storage.secretRef" in outcome.message

    def test_documents_that_may_not_be_read_are_told_as_such(
        self, tmp_path: Path, s3_server: S3Server, job: JobBuilder
    ) -> None:
        missing = {"sources": [{"name": "a", "documents": "s3://trouble/none.jsonl"}]}
        outcome = self.told(tmp_path, job.with_spec(data=missing), s3_server)
        assert (outcome.code, outcome.message.partition(":")[0]) == ("file-not-found", "spec.data.sources[0].documents")

    def test_nobody_answers(self, tmp_path: Path, s3_server: S3Server, job: JobBuilder) -> None:
        storage = {"uri": "s3://trouble/run", "endpointUrl": "http://127.0.0.1:1"}
        outcome = self.told(tmp_path, job.with_spec(storage=storage), s3_server)
        assert outcome.code == "unreachable"
        assert "spec.storage.endpointUrl" in outcome.message

    def test_nobody_answers_ranks_that_begin_again(self, tmp_path: Path, s3_server: S3Server, job: JobBuilder) -> None:
        """The address was right before: it is not the user who has to change it."""
        storage = {"uri": "s3://trouble/run", "endpointUrl": "http://127.0.0.1:1"}
        again = {ENV_RESTARTS: "1"}
        outcome = self.told(tmp_path, job.with_spec(storage=storage), s3_server, code=EXIT_FAILURE, **again)
        assert (outcome.outcome, outcome.kind) == ("failed", "StorageUnavailable")

    def test_a_server_that_says_nothing_is_not_waited_for(
        self, tmp_path: Path, s3_server: S3Server, job: JobBuilder
    ) -> None:
        """The client of the store would ask for more than six minutes: longer than `told` waits."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            storage = {"uri": "s3://trouble/run", "endpointUrl": url}
            outcome = self.told(tmp_path, job.with_spec(storage=storage), s3_server)
        assert outcome.code == "unreachable"
        assert f"s3://trouble/run does not answer at {url}: nothing came within 15 s." in outcome.message


def test_a_run_is_audited_where_it_lies(tmp_path: Path, s3_server: S3Server) -> None:
    """Read through the server; a run in a bucket has no status of a local body, as one of a cluster."""
    s3_server.make_bucket("ledgers")
    root = s3_server.buckets / "ledgers" / "one"
    run = LedgerRun(Storage(str(root)))
    run.train(6, world=3)

    def audited(uri: str) -> "subprocess.CompletedProcess[str]":
        own = environment(s3_server, AWS_ENDPOINT_URL=s3_server.url, XDG_STATE_HOME=str(tmp_path))
        command = [PRETRAIN, "data", "audit", uri, "-o", "json"]
        return subprocess.run(command, env=own, capture_output=True, text=True, check=False)

    clean = audited("s3://ledgers/one")
    assert clean.returncode == 0, clean.stderr
    found = json.loads(clean.stdout)
    assert (found["clean"], found["steps"], found["samplesRead"]) == (True, 6, 72)

    history = root / read_log(run.storage)[-1].history
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    lines[-1]["read"]["samples"] = [0, 12]
    history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.seal_again()
    doctored = audited("s3://ledgers/one")
    assert doctored.returncode == EXIT_FAILURE
    assert json.loads(doctored.stdout)["differences"][0]["g"] == 60

    for wrong, code in (("s3://ledgers/none", "no-checkpoints"), ("s3://nowhere/one", "storage-missing")):
        missing = audited(wrong)
        assert missing.returncode == EXIT_USER_ERROR
        assert f"[{code}]" in missing.stderr
        assert "Traceback" not in missing.stderr


@pytest.fixture
def mortal_server() -> Iterator[S3Server]:
    """A server that a test may stop."""
    with visibly(), an_s3_server() as server:
        yield server


@pytest.mark.slow
def test_a_server_that_goes_away_in_the_middle_of_training(tmp_path: Path, mortal_server: S3Server) -> None:
    mortal_server.make_bucket("runs")
    root = mortal_server.buckets / "runs" / "one"
    job = token_runs.a_job(root, steps=1_000_000)
    job["spec"]["storage"] = {"uri": "s3://runs/one", "endpointUrl": mortal_server.url}
    training = token_runs.start(tmp_path, job, **environment(mortal_server))
    eventually(lambda: token_runs.commits(root), within_seconds=180)
    mortal_server.stop()
    assert training.wait(timeout=180) == EXIT_FAILURE
    outcome = token_runs.outcome(tmp_path)
    assert (outcome["outcome"], outcome["kind"]) == ("failed", "StorageUnavailable")
    assert outcome["message"].startswith("spec.storage.uri: s3://runs/one stopped answering: ")
    assert "made no progress" not in (tmp_path / "train.log").read_text()  # to wait for a server is no hang

    mortal_server.start()
    newest = token_runs.commits(root)[-1]["step"]
    training = token_runs.start(tmp_path, job, **environment(mortal_server))
    try:
        eventually(lambda: f"resumed at step {newest}" in (tmp_path / "train.log").read_text(), within_seconds=180)
    finally:
        training.kill()
        training.wait()
