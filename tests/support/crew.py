"""Several workers on this machine, each with an agent of its own that is told of worlds: an elastic training without a
cluster."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import psutil
from support import token_runs
from support.zygote import Forked

from pretrain_api.recoveries import Recovery
from pretrain_api.silence import Silence
from pretrain_api.world import Member, World


class Worker:
    """An agent with its ranks, its folder and the pipe that it hears of worlds from."""

    def __init__(self, root: Path, name: str, job: dict[str, Any], ranks: int) -> None:
        self.name, self.folder = name, root / name
        self.folder.mkdir()
        out, self._into = os.pipe()
        arguments = ["--ranks", str(ranks), "--worlds", "{0}", "--uid", f"uid-{name}"]
        self.agent: Forked = token_runs.start_agent(self.folder, job, arguments, [out])
        os.close(out)

    @property
    def log(self) -> str:
        return (self.folder / "train.log").read_text()

    @property
    def steps(self) -> int:
        """The newest step that it has told of."""
        return token_runs.steps_done(self.folder)

    @property
    def recoveries(self) -> list[Recovery]:
        return token_runs.recoveries(self.folder)

    def tell(self, world: World) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._into, world.model_dump_json().encode() + b"\n")

    def kill(self) -> None:
        """Agent and ranks at once, as a machine that goes down."""
        if self.agent.poll() is None:
            token_runs.kill_everything(self.agent)

    def freeze(self) -> None:
        """Agent and ranks do nothing any more, and nobody sees them end, as on a machine that is frozen."""
        agent = psutil.Process(self.agent.pid)
        for process in (agent, *agent.children(recursive=True)):
            process.suspend()

    @property
    def silences(self) -> list[Silence]:
        """What it told of others that do not answer."""
        return token_runs.told(self.folder, "silence", Silence)

    def close(self) -> None:
        self.kill()
        os.close(self._into)


class Crew:
    """The workers of a training, and whoever publishes worlds for them."""

    def __init__(self, root: Path, job: dict[str, Any], ranks: int = 1) -> None:
        self._root, self._job, self._ranks = root, job, ranks
        self.workers: dict[str, Worker] = {}
        self._ports: dict[str, int] = {}
        """Of each worker that has led: its machine's own, as far as it can tell."""
        self._generation = 0

    def start(self, *names: str) -> None:
        for name in names:
            self.workers[name] = Worker(self._root, name, self._job, self._ranks)

    def publish(self, *names: str, planned: bool = True, to: tuple[str, ...] = ()) -> None:
        """A world of these workers, told to everybody who lives, or only `to` some."""
        self._generation += 1
        if names[0] not in self._ports:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._ports[names[0]] = int(free.getsockname()[1])
        roster = tuple(
            Member(worker=n, pod=name, uid=f"uid-{name}", address="127.0.0.1") for n, name in enumerate(names)
        )
        world = World(
            generation=self._generation, attempt=1, roster=roster, leader="127.0.0.1", port=self._ports[names[0]],
            reason="the test wants it", planned=planned,
        )  # fmt: skip
        for name in to or tuple(self.workers):
            self.workers[name].tell(world)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()
