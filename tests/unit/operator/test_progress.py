"""Figures of training as recorded status."""

import functools
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from support.jobs import a_job
from support.stage_runs import NOON, a_run

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus, World
from pretrain_operator.brain import progress, stages

FIGURES = {
    "step": 100.0,
    "totalSteps": 300.0,
    "tokens": 50_000.0,
    "tokensPerSecond": 1000.0,
    "secondsLeft": 100.2,
    "loss": 3.25,
    "mfuRatio": 0.4,
}
PLAIN = PretrainJobStatus()


class TestTakenIn:
    def test_holds_the_figures_and_when_training_will_end(self) -> None:
        seen = progress.taken_in(PLAIN, a_run(figures=FIGURES, figures_time=NOON), None).progress
        assert (seen.step, seen.total_steps, seen.loss, seen.mfu_ratio) == (100, 300, "3.2500", "0.4000")
        assert seen.estimated_completion_time == NOON + timedelta(seconds=100)

    @pytest.mark.parametrize(
        ("left", "error", "told"),
        [
            (11520, 0, "3h12m"),
            (11520, 100, "3h12m"),
            (11520, 540, "3h12m±9m"),
            (11520, 541, "3h12m±10m"),
            (3 * 86400, 108_000, "3d0h±2d"),
            (95, 12.4, "1m35s±12s"),
            (0, 0, "0s"),
        ],
    )
    def test_tells_how_sure_the_end_is_where_that_is_worth_a_word(self, left: float, error: float, told: str) -> None:
        figures = {**FIGURES, "secondsLeft": left, "secondsLeftError": error}
        seen = progress.taken_in(PLAIN, a_run(figures=figures, figures_time=NOON), None).progress
        assert (seen.time_left, seen.completion_error_seconds) == (told, round(error))

    def test_changes_nothing_before_the_first_step_and_for_figures_known_already(self) -> None:
        assert progress.taken_in(PLAIN, a_run(), None) == PLAIN
        once = progress.taken_in(PLAIN, a_run(figures=FIGURES, figures_time=NOON), None)
        assert progress.taken_in(once, a_run(figures=FIGURES, figures_time=NOON), None) is once

    def test_keeps_the_checkpoint_when_none_is_seen(self) -> None:
        seen = progress.taken_in(PLAIN, None, CheckpointStatus(step=7))
        assert progress.taken_in(seen, None, None).checkpoint == CheckpointStatus(step=7)

    def test_tells_images_per_second_where_training_sees_no_tokens(self) -> None:
        of_text = progress.taken_in(PLAIN, a_run(figures={**FIGURES, "samplesPerSecond": 2.0}, figures_time=NOON), None)
        assert (of_text.progress.throughput, of_text.progress.samples_per_second) == ("1000 tokens/s", "2.0000")
        images = {**FIGURES, "tokens": 0.0, "tokensPerSecond": 0.0, "samples": 640.0}
        for rate, told in ((412.4, "412 images/s"), (2.345, "2.3 images/s")):
            seen = progress.taken_in(
                PLAIN, a_run(figures={**images, "samplesPerSecond": rate}, figures_time=NOON), None
            )
            assert (seen.progress.throughput, seen.progress.tokens_per_second) == (told, None)
            assert (seen.progress.samples, seen.progress.samples_per_second) == (640, f"{rate:.4f}")


class TestAtRest:
    def test_leaves_out_what_is_true_only_of_workers_at_work(self) -> None:
        figures = progress.taken_in(PLAIN, a_run(figures=FIGURES, figures_time=NOON), None)
        world = World(generation=2, workers=4, ready=4, summary="4/4")
        training = stages.changed(
            stages.listed(figures.model_copy(update={"world": world}), a_job().spec), Stage.TRAIN, state="Running"
        )
        assert progress.at_rest(training) is training
        resting = progress.at_rest(stages.changed(training, Stage.TRAIN, state="Pending"))
        assert (resting.progress.tokens_per_second, resting.progress.time_left) == (None, "")
        assert (resting.progress.samples_per_second, resting.progress.throughput) == ("", "")
        assert resting.progress.estimated_completion_time is None
        assert (resting.progress.steps, resting.progress.loss, resting.progress.mfu_ratio) == (
            "100/300",
            "3.2500",
            "0.4000",
        )
        assert (resting.world.generation, resting.world.ready, resting.world.summary) == (2, 0, "0/4")
        assert progress.at_rest(resting) == resting


class TestIsNews:
    @staticmethod
    @functools.cache
    def reported(at: datetime) -> PretrainJobStatus:
        return progress.taken_in(PLAIN, a_run(figures=FIGURES, figures_time=at), None)

    def writes(self, uid: str, times: Iterable[datetime]) -> list[datetime]:
        """When a job with reports at these times writes its status, in which nothing else happens."""
        recorded, written, found = PLAIN, None, list[datetime]()
        for at in times:
            if progress.is_news(recorded, self.reported(at), at, written, uid):
                recorded, written = self.reported(at), at
                found.append(at)
        return found

    def test_figures_alone_are_written_every_half_minute(self) -> None:
        every_ten_seconds = [NOON + timedelta(seconds=10 * turn) for turn in range(60)]
        for uid in ("a", "b", "c", "d"):
            first, *later = self.writes(uid, every_ten_seconds)
            assert first == NOON
            assert len(later) in (19, 20)
            assert {b - a for a, b in pairwise(later)} == {timedelta(seconds=30)}

    def test_jobs_that_start_together_write_one_after_the_other(self) -> None:
        every_second = [NOON + timedelta(seconds=turn) for turn in range(61)]
        jobs = (self.writes(f"uid-{number}", every_second) for number in range(1000))
        later = Counter(at for times in jobs for at in times if at > NOON)
        assert max(later.values()) < 60  # evenly: 33 a second; together: 1,000
        assert len(later) == 60

    def test_a_clock_that_jumps_silences_no_job(self) -> None:
        back = [NOON, *(NOON + timedelta(seconds=10 * turn - 3600) for turn in range(4))]
        assert len(self.writes("a", back)) >= 2

    def counting(self, ready: int, **changes: object) -> PretrainJobStatus:
        world = World(generation=2, workers=10, ready=ready, summary=f"{ready}/10")
        return PretrainJobStatus().model_copy(update={"world": world, **changes})

    def test_workers_that_come_up_one_by_one_are_counted_together(self) -> None:
        before, after = self.counting(2), self.counting(5)
        assert not progress.is_news(before, after, NOON + timedelta(seconds=1), written=NOON, uid="a")
        assert progress.is_news(before, after, NOON + timedelta(seconds=6), written=NOON, uid="a")
        assert progress.is_news(before, after, NOON, written=None, uid="a")

    def test_the_last_worker_a_lost_one_and_everything_else_are_news_at_once(self) -> None:
        before = self.counting(5)
        for after in (self.counting(10), self.counting(4), self.counting(6, state="Recovering")):
            assert progress.is_news(before, after, NOON, written=NOON, uid="a")
