"""Waiting for the world: until the operator has published a roster that this pod belongs to."""

from __future__ import annotations

import http.client
import logging
import random
import threading
from collections.abc import Callable

from pydantic import ValidationError

from pretrain_api.cluster import WORLD_KEY
from pretrain_api.world import World
from pretrain_trainer.context import Stopped
from pretrain_trainer.pod.api_server import ApiServer, Refused

_LOGGER = logging.getLogger(__name__)
_WATCH_SECONDS = 240
_LONGEST_PAUSE_SECONDS = 15.0


def wait_for_world(
    server: ApiServer, name: str, uid: str, generation: int, pause: Callable[[float], object] | None = None
) -> World:
    """The first world of this generation or a later one that has the pod in it.

    Raises Stopped when a later one has gone on without it. Goes on waiting whatever the API server answers: while it
    is away, nothing is lost but time.
    """
    pause = pause or threading.Event().wait
    failures, told = 0, ""
    while True:
        try:
            for data in server.watch(name, _WATCH_SECONDS):
                failures = 0
                world = _parsed(data)
                if world is None or world.generation < generation:
                    continue
                if world.rank_of(uid) is not None:
                    return world
                if world.generation > generation:
                    raise Stopped(f"generation {world.generation} of the world has no place for this pod")
            problem = ""
        except (Refused, OSError, http.client.HTTPException, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem and problem != told:
            _LOGGER.warning("waiting for the world in ConfigMap %s: %s", name, problem)
            told = problem
        failures += bool(problem)
        # Full jitter: thousands of workers wait at once, and an API server that comes back must not drown in them.
        pause(random.uniform(0.1, min(2.0**failures, _LONGEST_PAUSE_SECONDS)))


def _parsed(data: dict[str, str]) -> World | None:
    try:
        return World.model_validate_json(data[WORLD_KEY])
    except KeyError:
        return None
    except ValidationError as error:
        _LOGGER.warning("the world that was published cannot be read: %s", error)
        return None
