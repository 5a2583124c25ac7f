"""A job's task lives as long as the job does, whatever goes wrong with it."""

import asyncio
from typing import Any

from pretrain_api.types import PretrainJobStatus
from pretrain_operator.bodies.kubernetes.client import ApiError
from pretrain_operator.metrics import Metrics, declared
from pretrain_operator.shell.daemon import Daemon


class Body:
    """A job whose status is another one at each look, and to which nothing can be done."""

    key, uid, wanted, reference = ("research", "gpt"), "uid", None, {"name": "gpt"}

    def __init__(self) -> None:
        self.looks = 0

    def recorded(self) -> PretrainJobStatus:
        return PretrainJobStatus(observed_generation=self.looks)

    async def hold(self) -> None:
        self.looks += 1
        raise ApiError(503, "Unavailable", "away")


class Events:
    """They cannot be told."""

    async def tell(self, *arguments: object) -> None:
        raise ValueError("too many values to unpack")


def test_what_cannot_be_told_is_counted_and_ends_nothing() -> None:
    async def looks_and_errors() -> tuple[int, float | None]:
        body, metrics = Body(), Metrics()
        daemon = Daemon(body, Events(), metrics)  # type: ignore[arg-type] # stand-ins: no real part fails so
        async with asyncio.timeout(20):
            while body.looks < 2:
                daemon.wake()
                await asyncio.sleep(0.02)
        await daemon.stop()
        return body.looks, metrics.registry.get_sample_value(declared.ERRORS.name)

    found: Any = asyncio.run(looks_and_errors())
    assert found[0] >= 2
    assert found[1] >= 1, "an answer of an API server is no defect; what cannot be told is"
