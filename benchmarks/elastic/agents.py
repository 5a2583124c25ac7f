"""How long until thousands of agents have a new roster: each watches the world's ConfigMap at a real API server.

    .venv/bin/python benchmarks/elastic/agents.py --output benchmarks/elastic/results/agents.json
    .venv/bin/python benchmarks/elastic/agents.py --agents 512

API server, etcd and all agents share this machine, and every byte of every watch is encrypted and decrypted on it: with
4,096 agents a new roster is 2 GB. On machines of their own the agents would decrypt their part alone. The time runs from the
write of the roster until an agent has received all of it; parsing is left out, since each would do it by itself.
"""

# ruff: noqa: E402 - what the tests share is found once sys.path names it
import argparse
import asyncio
import json
import os
import ssl
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parents[1] / "tests"))

import yaml
from figures import quantile, write
from support.cluster.control_plane import ControlPlane, api_server
from support.eventually import eventually

from pretrain_api.cluster import WORLD_KEY, world_name
from pretrain_api.world import Member, World

NAMESPACE, NAME = "default", world_name("large")
TARGET_SECONDS = 5.0
_AT_ONCE = 1 << 20
_JOINING_AT_ONCE = 64


def a_world(generation: int, agents: int) -> World:
    """A roster of so many, as large as a real one."""
    roster = tuple(
        Member(
            worker=n,
            pod=f"large-w{n}-1",
            uid=str(uuid.UUID(int=n + (1 << 100))),
            address=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}",
        )
        for n in range(agents)
    )
    return World(generation=generation, attempt=1, roster=roster, leader=roster[0].address)


class Agents:
    """Watches, and when each has received which generation."""

    def __init__(self, plane: ControlPlane) -> None:
        self._server, self._tls = _access(plane.kubeconfig)
        self._tasks: list[asyncio.Task[None]] = []
        self._room = asyncio.Semaphore(_JOINING_AT_ONCE)
        self.received: dict[int, list[float]] = {}

    async def start(self, agents: int) -> None:
        """So many watches, until each has seen the first generation."""
        self._tasks = [asyncio.create_task(self._follow()) for _ in range(agents)]
        await self.until(1, agents)

    async def until(self, generation: int, agents: int) -> None:
        """Until so many have received a generation."""
        while len(self.received.get(generation, [])) < agents:
            await asyncio.sleep(0.05)
            for task in self._tasks:
                if task.done():
                    task.result()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps?watch=true&fieldSelector=metadata.name%3D{NAME}"
        async with self._room:
            reader, writer = await asyncio.open_connection(
                self._server.hostname, self._server.port, ssl=self._tls, limit=_AT_ONCE
            )
            request = f"GET {path} HTTP/1.1\r\nHost: {self._server.netloc}\r\nAccept: application/json\r\n\r\n"
            writer.write(request.encode())
            await reader.readuntil(b"\r\n\r\n")
            await self._event(reader)
        while True:
            await self._event(reader)

    async def _event(self, reader: asyncio.StreamReader) -> None:
        """Read one event to its end, which is that of its line and of a chunk, and note when that was."""
        head = b""
        while not head.endswith(b"\n\r\n"):
            piece = await reader.read(_AT_ONCE)
            if not piece:
                raise ConnectionError("the API server has ended a watch")
            # Of the event itself its beginning is enough, where the generation stands, and its end.
            head = head[:4096] + piece if len(head) > 1 << 16 else head + piece
        start = head.index(b'generation\\":') + len(b'generation\\":')
        generation = int(head[start : head.index(b",", start)])
        self.received.setdefault(generation, []).append(time.monotonic())


def _access(kubeconfig: Path) -> tuple[Any, ssl.SSLContext]:
    """The API server's address, and a client's certificate for it."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
    tls.load_cert_chain(user["client-certificate"], user["client-key"])
    return urlsplit(cluster["server"]), tls


async def measured(plane: ControlPlane, agents: int, rounds: int) -> list[list[float]]:
    """Of each round the seconds of all agents, in order."""
    plane.kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE},
         "data": {WORLD_KEY: a_world(1, agents).model_dump_json()}}
    )  # fmt: skip
    watching, found = Agents(plane), list[list[float]]()
    await watching.start(agents)
    print(f"{agents} agents watch", flush=True)
    for generation in range(2, rounds + 2):
        patch = json.dumps({"data": {WORLD_KEY: a_world(generation, agents).model_dump_json()}})
        file = plane.folder / "patch.json"
        file.write_text(patch)
        began = time.monotonic()
        await asyncio.to_thread(
            plane.kubectl, "patch", "configmap", NAME, "-n", NAMESPACE, "--type=merge", f"--patch-file={file}"
        )
        written = time.monotonic()
        await watching.until(generation, agents)
        found.append(sorted(at - began for at in watching.received[generation]))
        print(f"written after {written - began:.2f} s, all have it after {found[-1][-1]:.2f} s", flush=True)
    await watching.stop()
    return found


def main() -> int:
    """Measure, print the quantiles beside the target, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with api_server() as plane:
        eventually(lambda: plane.raw(f"/api/v1/namespaces/{NAMESPACE}"), bool, 60)
        rounds = asyncio.run(measured(plane, options.agents, options.rounds))
    every = sorted(seconds for each in rounds for seconds in each)
    shares = {"p50Seconds": 0.5, "p99Seconds": 0.99, "mostSeconds": 1.0}
    figures = {name: round(quantile(every, share), 2) for name, share in shares.items()}
    size = len(a_world(2, options.agents).model_dump_json())
    print(f"{options.agents} agents, a roster of {size:,} bytes: {figures}; target p99 <= {TARGET_SECONDS} s")
    settings = {"agents": options.agents, "rosterBytes": size, "targetP99Seconds": TARGET_SECONDS}
    write(options.output, load, {**settings, **figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
