"""`pretrain watch` by textual's pilot: a real training on this machine whose rank is killed, and a job of a real API server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from support.cluster.s3 import S3Server
from support.command_place import CommandPlace
from support.eventually import eventually
from support.finished_runs import FinishedRun
from support.jobs import a_job
from support.kubelet_logs import Kubelet
from support.local_runs import LocalRun
from support.stored_jobs import a_stored_job
from textual.pilot import Pilot
from textual.widgets import RichLog, Static

from pretrain_api.errors import PretrainError, UserError
from pretrain_api.storage import Storage
from pretrain_cli.cluster.connection import connect
from pretrain_cli.watch.app import LossPlot, WatchApp
from pretrain_cli.watch.in_cluster import ClusterJob
from pretrain_cli.watch.local import LocalRun as LocalSource
from pretrain_cli.watch.news import Source
from pretrain_operator.bodies.local.workplace import Workplace

SIZE = (140, 44)
_LOOKS = 300
"""At a tenth of a second each: how long a picture may take to come."""


class Screen:
    """What a person sees of a running app."""

    def __init__(self, app: WatchApp, pilot: Pilot[PretrainError]) -> None:
        self.app, self.pilot = app, pilot

    def text(self, name: str) -> str:
        """A part of the screen as text."""
        widget = self.app.query_one(f"#{name}")
        if isinstance(widget, RichLog):
            return "\n".join(line.text for line in widget.lines)
        assert isinstance(widget, Static)
        console = Console(width=200, color_system=None)
        with console.capture() as capture:
            console.print(widget.content)
        return capture.get()

    async def until(self, name: str, *words: str) -> None:
        """Wait until a part of the screen has these words."""
        await self._until(name, lambda text: all(word in text for word in words))

    async def until_curve(self) -> None:
        """Wait until a curve is drawn: characters of Braille dots."""
        await self._until("loss", lambda text: any("\u2800" < character <= "\u28ff" for character in text))

    async def _until(self, name: str, holds: Callable[[str], bool]) -> None:
        for _ in range(_LOOKS):
            if holds(self.text(name)):
                return
            await self.pilot.pause(0.1)
        raise AssertionError(f"{name} never came so far:\n{self.text(name)}")


def watch(source: Source, look: Callable[[Screen], Awaitable[None]]) -> PretrainError | None:
    """Let the app run while `look` looks at it; gives what it returned."""

    async def play() -> PretrainError | None:
        app = WatchApp(source)
        async with app.run_test(size=SIZE) as pilot:
            await look(Screen(app, pilot))
        return app.return_value

    return asyncio.run(play())


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """Two ranks that train on, one of which was killed and came back."""
    folder = tmp_path_factory.mktemp("watched")
    run = LocalRun(folder, a_job().stored_in(folder / "run").with_steps(1_000_000, processes=2)).until("Training")
    run.ranks()[1].kill()
    eventually(lambda: run.status["recovery"].get("lastRecovery"))
    yield run
    run.signalled(signal.SIGINT).exit_code()


def source_of(run: LocalRun) -> LocalSource:
    return LocalSource(Workplace(Storage(str(run.storage))))


class TestRunHere:
    def test_shows_stages_figures_curve_incident_and_logs(self, training: LocalRun) -> None:
        async def look(screen: Screen) -> None:
            await screen.until("head", "test", "Training")
            await screen.until("stage-table", "✓ Encode", "● Train", "step", "loss")
            await screen.until("figure-table", "tokens/s")
            await screen.until("incident-list", "1 recovery", "Restart: rank 1 lost (exit -9 (SIGKILL))")
            await screen.until("logs", "train  ")
            await screen.until_curve()

        assert watch(source_of(training), look) is None

    def test_keys_change_the_view(self, training: LocalRun) -> None:
        async def look(screen: Screen) -> None:
            await screen.until_curve()
            plot = screen.app.query_one(LossPlot)
            await screen.pilot.press("y")
            assert (plot.border_title, plot.log_scale) == ("Loss, log scale", True)
            await screen.pilot.press("l")
            assert not plot.region
            await screen.pilot.press("l")
            await screen.pilot.pause()
            assert plot.region
            await screen.pilot.press("p")
            assert screen.app.query_one(RichLog).border_title == "Logs (paused)"
            await screen.pilot.press("q")

        assert watch(source_of(training), look) is None

    def test_a_small_terminal_shows_what_fits(self, training: LocalRun) -> None:
        async def play() -> None:
            app = WatchApp(source_of(training))
            async with app.run_test(size=(40, 12)) as pilot:
                await Screen(app, pilot).until("head", "Training")

        asyncio.run(play())

    def test_a_run_that_nobody_carries_on_is_told(self, tmp_path: Path, training: LocalRun) -> None:
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "status.json").write_bytes((training.storage / "status.json").read_bytes())

        async def look(screen: Screen) -> None:
            await screen.until("head", "nobody runs it")

        watch(LocalSource(Workplace(Storage(str(copy)))), look)

    def test_a_run_that_vanishes_ends_the_view_with_its_message(self, tmp_path: Path) -> None:
        async def look(screen: Screen) -> None:
            for _ in range(_LOOKS):
                if screen.app.return_value is not None:
                    return
                await screen.pilot.pause(0.1)

        error = watch(LocalSource(Workplace(Storage(str(tmp_path)))), look)
        assert isinstance(error, UserError)
        assert error.code == "no-run"


class TestJobInCluster:
    def test_follows_status_and_logs(self, place: CommandPlace, kubelet: Kubelet) -> None:
        place.submitted("gpt")
        stages = [{"name": "Encode", "state": "Complete"}, {"name": "Train", "state": "Running", "attempts": 1}]
        progress = {"step": 3, "totalSteps": 9, "loss": "2.5", "updateTime": "2026-01-01T00:00:00Z"}
        place.status("gpt", state="Training", stages=stages, progress=progress, world={"workers": 2, "ready": 2})
        pod = place.pod("gpt", kubelet.node)
        kubelet.write(pod, "[rank1]: step 3")

        async def look(screen: Screen) -> None:
            await screen.until("head", "gpt", "Training")
            await screen.until("stage-table", "✓ Encode", "● Train")
            await screen.until("figure-table", "3/9", "2/2")
            await screen.until("logs", "train/0 rank 1  step 3")
            failure = {
                "stage": "Train",
                "kind": "OutOfMemory",
                "message": "CUDA out of memory",
                "time": progress["updateTime"],
            }
            counted = {"failures": 1, "recentFailures": [progress["updateTime"]], "lastFailure": failure}
            place.status("gpt", state="Recovering", stages=stages, progress=progress, recovery=counted)
            await screen.until("incident-list", "1 failure", "OutOfMemory: CUDA out of memory")
            kubelet.write(pod, "after it")
            await screen.until("logs", "after it")
            place.delete("job", "gpt")
            await screen.until("head", "the job was deleted")

        assert watch(ClusterJob(connect(str(place.kubeconfig)), "gpt"), look) is None

    def test_the_curve_begins_with_the_first_step_where_the_storage_is_within_reach(
        self, place: CommandPlace, s3_server: S3Server, trained_run: FinishedRun
    ) -> None:
        a_stored_job(place, s3_server, trained_run, "watch-history")

        async def look(screen: Screen) -> None:
            await screen.until_curve()
            last = screen.text("loss").rstrip().splitlines()[-1].split()
            assert (last[0], last[-1]) == ("1", "40")

        assert watch(ClusterJob(connect(str(place.kubeconfig)), "gpt"), look) is None

    def test_a_name_that_is_not_there_is_a_mistake(self, place: CommandPlace) -> None:
        assert "[no-such-job]" in place.run("watch", "gpt").err

    def test_without_a_terminal_it_says_what_else_there_is(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        printed = place.run("watch", "gpt")
        assert (printed.code, "It needs a terminal" in printed.err) == (2, True)
