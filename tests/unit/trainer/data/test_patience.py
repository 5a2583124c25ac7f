import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pretrain_trainer.data.patience import Patience, PatientReads
from pretrain_trainer.storage_faults import StorageUnavailable

QUICK = Patience(seconds=0.05, attempt_seconds=5, first_pause_seconds=0.001, most_pause_seconds=0.002, hedge_after=3)


def read(reads: PatientReads, ask: Callable[[], Awaitable[str]]) -> str:
    return asyncio.run(reads.read("bytes 0 to 9 of s3://b/a.tar", ask))


class Store:
    """Answers a request with what stands next; an exception is raised, None never comes."""

    def __init__(self, *answers: str | Exception | None) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self) -> str:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.Event().wait()
        return answer or ""


class TestFaults:
    def test_that_pass_are_asked_again_and_counted(self) -> None:
        reads, store = PatientReads(QUICK), Store(TimeoutError(), ConnectionResetError(), "bytes")
        assert read(reads, store) == "bytes"
        assert (reads.counts.faults, reads.counts.requests, reads.counts.reads.count) == (2, 3, 1)

    @pytest.mark.parametrize("error", [FileNotFoundError("x"), PermissionError("x"), ValueError("x")])
    def test_that_stay_are_raised_at_once(self, error: Exception) -> None:
        store = Store(error, "bytes")
        with pytest.raises(type(error)):
            read(PatientReads(QUICK), store)
        assert store.asked == 1

    def test_that_do_not_end_are_told_with_object_fault_and_time(self) -> None:
        store = Store(*[TimeoutError("no answer")] * 1000)
        with pytest.raises(
            StorageUnavailable, match=r"bytes 0 to 9 of s3://b/a\.tar could not be read in \d+ attempts .*no answer"
        ):
            read(PatientReads(QUICK), store)

    def test_are_paused_after_for_any_time_up_to_a_growing_bound(self) -> None:
        patience = Patience(first_pause_seconds=1, most_pause_seconds=5)
        for attempt, most in ((1, 2), (2, 4), (3, 5), (9, 5)):
            pauses = [patience.pause(attempt) for _ in range(300)]
            assert max(pauses) <= most
            assert min(pauses) < most * 0.1
            assert max(pauses) > most * 0.9


class TestLateReads:
    def reads(self) -> PatientReads:
        reads = PatientReads(Patience(hedge_after=3, least_hedge_seconds=0.01, first_pause_seconds=0.001))
        for _ in range(3):
            read(reads, Store("quick"))
        return reads

    def test_are_asked_for_a_second_time(self) -> None:
        reads = self.reads()
        assert read(reads, Store(None, "second")) == "second"
        assert reads.counts.hedges == 1

    def test_are_not_known_before_some_were_measured(self) -> None:
        reads, store = (
            PatientReads(Patience(hedge_after=3, attempt_seconds=0.02, first_pause_seconds=0.001)),
            Store(None, "again"),
        )
        assert read(reads, store) == "again"
        assert reads.counts.hedges == 0

    def test_count_as_the_first_request_when_the_second_fails(self) -> None:
        async def ask() -> str:
            asked.append(1)
            if len(asked) == 2:
                raise ConnectionResetError
            await asyncio.sleep(0.05)
            return "first"

        asked: list[int] = []
        assert read(self.reads(), ask) == "first"
        assert len(asked) == 2
