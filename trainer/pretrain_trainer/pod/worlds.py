"""Following the world: what the operator publishes, told to the agent of this pod as it comes."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import threading
from collections.abc import Callable, Iterator

from pydantic import ValidationError

from pretrain_api import jitter
from pretrain_api.cluster import WORLD_KEY
from pretrain_api.world import World
from pretrain_trainer.pod.api_server import ApiServer, Refused

_LOGGER = logging.getLogger(__name__)
_WATCH_SECONDS = 240
_LONGEST_PAUSE_SECONDS = 15.0


@contextlib.contextmanager
def told_of_worlds(server: ApiServer, name: str) -> Iterator[int]:
    """A pipe out of which worlds come, one a line, as long as the block runs; its descriptor, for a child to inherit."""
    out, into = os.pipe()
    thread = threading.Thread(target=_tell, args=(server, name, into), name="worlds", daemon=True)
    thread.start()
    try:
        yield out
    finally:
        os.close(out)  # whoever writes finds nobody there


def _tell(server: ApiServer, name: str, into: int) -> None:
    with contextlib.suppress(BrokenPipeError), open(into, "wb", buffering=0) as pipe:
        for world in worlds(server, name):
            pipe.write(world.model_dump_json().encode() + b"\n")


def worlds(server: ApiServer, name: str, pause: Callable[[float], object] | None = None) -> Iterator[World]:
    """Each world that is published in the ConfigMap, a newer one than the last each time, for ever.

    Goes on whatever the API server answers: while it is away, nothing is lost but time.
    """
    pause = pause or threading.Event().wait
    failures, told, newest = 0, "", -1
    while True:
        try:
            for data in server.watch(name, _WATCH_SECONDS):
                failures = 0
                world = _parsed(data)
                if world and world.generation > newest:
                    newest = world.generation
                    yield world
            problem = ""
        except (Refused, OSError, http.client.HTTPException, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem and problem != told:
            _LOGGER.warning("following the world in ConfigMap %s: %s", name, problem)
            told = problem
        failures += bool(problem)
        # Full jitter: thousands of workers wait at once, and an API server that comes back must not drown in them.
        pause(jitter.between(0.1, min(2.0**failures, _LONGEST_PAUSE_SECONDS)))


def _parsed(data: dict[str, str]) -> World | None:
    try:
        return World.model_validate_json(data[WORLD_KEY])
    except KeyError:
        return None
    except ValidationError as error:
        _LOGGER.warning("the world that was published cannot be read: %s", error)
        return None
