import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from pretrain_trainer.data.batches import AHEAD, GlobalBatches, unmade
from pretrain_trainer.data.order import Mixture, MixtureSource, locate
from pretrain_trainer.data.samples import Samples

MIXTURE = Mixture([MixtureSource(40, 0.7, None), MixtureSource(9, 0.3, None)], 11)


class CountingReader:
    """Gives samples that say where they come from, in place of shards."""

    wants_more = False

    def __init__(self, before_read: Callable[[], None] = lambda: None, samples_at_once: int = 1000) -> None:
        self.reads, self.samples_at_once = 0, samples_at_once
        self._before_read = before_read

    def read(self, source: np.ndarray, index: np.ndarray) -> Samples:
        self._before_read()
        self.reads += 1
        tokens = np.stack([source, index], axis=1).astype(np.int32)
        return Samples(
            tokens,
            np.zeros_like(tokens, dtype=np.int32),
            np.ones_like(tokens, dtype=np.bool_),
            np.zeros(len(tokens), dtype=np.bool_),
        )

    def announce(self, source: np.ndarray, index: np.ndarray) -> None:
        pass

    def pass_by(self, samples: int) -> None:
        pass

    def close(self) -> None:
        pass


def batches(reader: object, rank: int = 0, world: int = 1, start: int = 0, mixture: Mixture = MIXTURE) -> GlobalBatches:
    return GlobalBatches(reader, mixture, 10, rank, world, start, unmade)  # type: ignore[arg-type]


class TestBatches:
    @pytest.mark.parametrize("world", [1, 3, 7, 12])
    def test_of_all_ranks_make_up_the_global_batches(self, world: int) -> None:
        parts = []
        for rank in range(world):
            with batches(CountingReader(), rank, world, 20) as mine:
                parts.append([batch for batch, _ in zip(mine, range(3), strict=False)])
        for step in range(3):
            assert {rank[step].first_sample for rank in parts} == {20 + 10 * step}
            positions = np.concatenate([rank[step].positions for rank in parts])
            assert sorted(positions.tolist()) == list(range(20 + 10 * step, 30 + 10 * step))
            together = np.concatenate([rank[step].samples.tokens for rank in parts])
            source, _, index = locate(MIXTURE, positions)
            assert together.tolist() == np.stack([source, index], axis=1).tolist()

    def test_are_read_ahead_by_a_bounded_number(self) -> None:
        full = threading.Event()
        reader = CountingReader(lambda: full.set() if reader.reads == AHEAD else None, samples_at_once=1)
        with batches(reader) as mine:
            assert full.wait(10)
            next(iter(mine))
            assert reader.reads <= AHEAD + 2

    def test_say_how_long_they_were_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """At least from when somebody waits until the reader may read: by the clock, however long that takes here."""
        go, moments = threading.Event(), list[float]()

        def release() -> None:
            moments.append(time.perf_counter())
            go.set()

        with batches(CountingReader(lambda: go.wait(60) and None)) as mine:
            get = mine._ready.get

            def waited_for(**options: float) -> object:
                moments.append(time.perf_counter())
                threading.Timer(0.02, release).start()
                return get(**options)

            with monkeypatch.context() as patch:
                patch.setattr(mine._ready, "get", waited_for)
                batch = next(iter(mine))
        begun, released = moments
        assert batch.wait_seconds >= released - begun > 0

    def test_past_the_end_of_the_mixture_are_an_error_only_when_reached(self) -> None:
        mixture = Mixture([MixtureSource(10, 1.0, 1)], 1)
        with batches(CountingReader(), mixture=mixture) as mine:
            steps = iter(mine)
            assert next(steps).first_sample == 0
            with pytest.raises(IndexError, match="behind the last one"):
                next(steps)


class TestClose:
    def test_ends_the_thread_while_it_waits_for_a_place(self) -> None:
        before = threading.active_count()
        with batches(CountingReader()) as mine:
            next(iter(mine))
        assert threading.active_count() == before

    def test_ends_the_iteration(self) -> None:
        with batches(CountingReader()) as mine:
            next(iter(mine))
        assert list(mine) == []
