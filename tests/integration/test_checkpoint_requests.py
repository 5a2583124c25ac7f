"""What a save asks an S3 server for: the bytes of the state once, and neither lists nor copies."""

from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from support.cluster.s3 import S3Server
from support.s3_proxy import Answer, Asked, S3Proxy, s3_proxy

from pretrain_api.storage import Storage
from pretrain_api.types.training import Checkpoint
from pretrain_trainer.training import world
from pretrain_trainer.training.checkpoints import Checkpoints, Position

STATE = {f"model.{n}": torch.randn(1000, 500) for n in range(4)}
SAVES = 5


@pytest.fixture
def proxy(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Proxy]:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3_server.make_bucket("requests")
    with s3_proxy(s3_server.url, lambda asked: Answer()) as between:
        yield between


def test_of_a_save_are_counted(proxy: S3Proxy) -> None:
    with world.join(1) as alone:
        storage = Storage("s3://requests/run", proxy.url)
        checkpoints = Checkpoints(storage, "f", Checkpoint(keep_last=2), alone)
        for step in range(1, 3):  # until there is something to remove at each save
            save(checkpoints, step)
        proxy.asked.clear()
        for step in range(3, 3 + SAVES):
            save(checkpoints, step)
        asked = list(proxy.asked)
        other = Checkpoints(storage, "f", Checkpoint(keep_last=2), alone)
        loaded = {name: torch.zeros_like(tensor) for name, tensor in STATE.items()}
        assert other.load(loaded) == Position(step=2 + SAVES, samples=2 + SAVES)
    assert all(torch.equal(loaded[name], STATE[name]) for name in STATE)
    assert len(storage.names("checkpoints/data")) == 2

    counted = Counter(kind(one) for one in asked)
    assert counted == {"PUT": 3 * SAVES, "GET": 3 * SAVES, "POST": SAVES}, counted
    state = sum(tensor.nbytes for tensor in STATE.values())
    uploaded = sum(one.bytes for one in asked if one.method == "PUT")
    assert uploaded <= 1.01 * state * SAVES


def save(checkpoints: Checkpoints, step: int) -> None:
    checkpoints.save(STATE, Position(step=step, samples=step), (), [], final=False)
    checkpoints.wait()


def kind(asked: Asked) -> str:
    return "list" if asked.is_listing else "copy" if asked.is_copy else asked.method
