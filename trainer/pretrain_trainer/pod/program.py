"""One run of a pod's program: start the stage program, tell it of worlds if it trains, report, pass on a stop, end.

Under Kubernetes it is process 1 of the container: when it ends, the kernel ends everything below it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from pretrain_api import cluster
from pretrain_api.events import Outcome, fitted, outcome_at
from pretrain_api.metrics import ENV_FOLDER, OfProcesses, served
from pretrain_api.report import Report
from pretrain_api.silence import Silence
from pretrain_api.stages import FINISH, Stage
from pretrain_api.types import PretrainJob
from pretrain_trainer.cores import usable_cores
from pretrain_trainer.pod import commands, endings
from pretrain_trainer.pod.api_server import SERVICE_ACCOUNT, ApiServer
from pretrain_trainer.pod.child import Child
from pretrain_trainer.pod.commands import Place
from pretrain_trainer.pod.reports import Reporter
from pretrain_trainer.pod.worlds import told_of_worlds
from pretrain_trainer.process import adopt_orphans, die_with_parent, end_leftovers
from pretrain_trainer.stopping import Stop

_LOGGER = logging.getLogger(__name__)
_LAST_REPORT_SECONDS = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Run the pod's part of a stage and return the exit code."""
    options = _parser().parse_args(arguments)
    if os.getpid() != 1:  # process 1 of a container ends with it anyway, and its parent may be a thread that passes
        die_with_parent()
    adopt_orphans()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    place = Place(
        options.stage,
        options.job,
        options.upstream,
        options.attempt,
        options.phase,
        int(os.environ.get(cluster.ENV_INDEX, "0")),
        options.parts,
    )
    stop = Stop()
    with tempfile.TemporaryDirectory(prefix="pretrain-pod-") as folder:
        outcome, code = _run(place, options.service_account, Path(folder), stop, options.metrics_port)
    with contextlib.suppress(OSError):  # no kubelet has made the file: then nobody reads it
        options.termination_log.write_bytes(fitted(outcome))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.pod", description="The program of a job's pod.")
    parser.add_argument("--stage", required=True, type=Stage, choices=list(Stage))
    parser.add_argument("--job", required=True, type=Path, help="the job as JSON")
    parser.add_argument("--upstream", action="append", default=[], metavar="STAGE=FINGERPRINT")
    parser.add_argument("--attempt", type=int, default=0, help="the start of the stage that this pod belongs to")
    parser.add_argument("--phase", default=FINISH.name)
    parser.add_argument("--parts", type=int, default=1, help="how many pods share the phase")
    parser.add_argument("--metrics-port", type=int, help="Train: where Prometheus is answered")
    parser.add_argument("--termination-log", type=Path, default=Path(cluster.TERMINATION_LOG))
    parser.add_argument("--service-account", type=Path, default=SERVICE_ACCOUNT, help="folder of token and ca.crt")
    return parser


def _run(
    place: Place, service_account: Path, folder: Path, stop: Stop, metrics_port: int | None
) -> tuple[Outcome, int]:
    events, said = folder / "events.jsonl", folder / "outcome.json"
    scratch, cores, processes = folder / "scratch", usable_cores(), 1
    scratch.mkdir()
    with contextlib.ExitStack() as stack:
        inherited: tuple[int, ...] = ()
        if place.stage is Stage.TRAIN:
            processes = PretrainJob.model_validate_json(place.job.read_bytes()).spec.workers.processes_per_worker
            server, name = ApiServer.of_pod(service_account), os.environ[cluster.ENV_WORLD]
            inherited = (stack.enter_context(told_of_worlds(server, name)),)
            program = commands.training(place, os.environ[cluster.ENV_POD_UID], *inherited, processes, scratch)
        else:
            program = commands.command(place, cores, scratch)
        # Of the workers the leader's agent and first rank tell of their progress, and who leads may change.
        is_speaker = place.stage is Stage.TRAIN or place.index == 0
        stack.enter_context(_reporting(events, place, service_account, is_speaker))
        environment = commands.environment(os.environ, place.stage, events, said, processes, cores, scratch)
        if place.stage is Stage.TRAIN and metrics_port is not None:
            environment |= stack.enter_context(_scraped(folder / "metrics", metrics_port))
        child = Child(program, environment, inherited)
        with stop.passed_on(child.ask_to_stop):
            code = child.wait()
        end_leftovers()
    return endings.ending(code, outcome_at(said), child.log, stop.was_asked)


@contextlib.contextmanager
def _scraped(folder: Path, port: int) -> Iterator[dict[str, str]]:
    """Answer Prometheus with what the ranks write; the environment that tells them where."""
    folder.mkdir()
    registry = CollectorRegistry()
    OfProcesses(registry, folder)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(served(registry, port))
        except OSError as error:  # a training that nobody sees is better than none
            _LOGGER.warning("nobody can scrape port %d, training goes on: %s", port, error)
        yield {ENV_FOLDER: str(folder)}


@contextlib.contextmanager
def _reporting(events: Path, place: Place, service_account: Path, is_speaker: bool) -> Iterator[None]:
    """Of each phase the first pod reports, of training whichever has news; without an API server in the environment
    nobody does."""
    name = os.environ.get(cluster.ENV_REPORT)
    if not is_speaker or not name or "KUBERNETES_SERVICE_HOST" not in os.environ:
        yield
        return
    server = ApiServer.of_pod(service_account)

    def send(report: Report) -> None:
        # What the operator compares these times with, it has from the API server too; this machine's clock may be wrong.
        told = report.by_another_clock(server.seconds_ahead())
        server.patch(name, {cluster.REPORT_KEY: told.model_dump_json()})

    def send_silence(silence: Silence) -> None:
        server.patch(name, {cluster.SILENCE_KEY: silence.model_dump_json()})

    reporter = Reporter(events, place.stage, place.attempt, send, send_silence)
    reporter.start()
    try:
        yield
    finally:
        reporter.end(_LAST_REPORT_SECONDS)
