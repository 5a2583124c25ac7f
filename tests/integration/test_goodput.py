"""The figures of a real run that is broken twice, held against what can be worked out from its ledger alone."""

import json
import math
import signal
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest
from support.eventually import eventually
from support.jobs import a_job
from support.local_runs import LocalRun

from pretrain_api import goodput, layout
from pretrain_api.step_history import read_steps
from pretrain_api.storage import Storage
from pretrain_api.types.status import Goodput
from pretrain_trainer.reporting.records import find

pytestmark = pytest.mark.slow
STEPS = 1500


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    """A rank was killed, then the whole run was interrupted and begun again."""
    folder = tmp_path_factory.mktemp("goodput")
    job = a_job().stored_in(folder / "run").with_steps(STEPS, processes=2)
    first = LocalRun(folder, job).until("Training")
    first.ranks()[1].kill()
    eventually(lambda: first.status["recovery"].get("lastRecovery"))
    first.signalled(signal.SIGINT).exit_code()
    second = LocalRun(folder, job)
    assert second.exit_code(within_seconds=300) == 0, second.output[-3000:]
    return second


@pytest.fixture(scope="module")
def steps(run: LocalRun) -> list[dict[str, Any]]:
    found = find(Storage(str(run.storage)))
    return list(read_steps(found.storage, found.commits()))


def spent(run: LocalRun) -> dict[str, float]:
    return dict(goodput.seconds(Goodput.model_validate(run.status["goodput"]).spent))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def total(steps: Iterable[dict[str, Any]], name: str) -> float:
    return sum(step.get(name, 0.0) for step in steps)


def test_every_second_of_the_job_is_accounted_for(run: LocalRun) -> None:
    wall = moment(run.status["completionTime"]) - moment(run.status["startTime"])
    assert sum(spent(run).values()) == pytest.approx(wall.total_seconds(), abs=0.0011)


def test_productive_time_is_that_of_the_steps_that_stand(run: LocalRun, steps: list[dict[str, Any]]) -> None:
    assert [step["step"] for step in steps] == list(range(1, STEPS + 1))
    pauses = sum(total(steps, name) for name in ("dataWaitSeconds", "checkpointStallSeconds", "evaluationSeconds"))
    assert spent(run)["Productive"] == pytest.approx(total(steps, "secondsPerStep") - pauses, rel=0.01)
    assert spent(run)["DataWait"] == pytest.approx(total(steps, "dataWaitSeconds"), rel=0.01, abs=0.05)


def test_the_ratio_is_what_the_ledger_and_the_times_of_the_stages_give(
    run: LocalRun, steps: list[dict[str, Any]]
) -> None:
    pauses = sum(total(steps, name) for name in ("dataWaitSeconds", "checkpointStallSeconds", "evaluationSeconds"))
    productive = total(steps, "secondsPerStep") - pauses
    wall = (moment(run.status["completionTime"]) - moment(run.status["startTime"])).total_seconds()
    around = spent(run)["OtherStages"] + spent(run)["Suspended"]
    assert float(run.status["goodputRatio"]) == pytest.approx(productive / (wall - around), rel=0.01)


def test_the_recovery_is_told_by_its_phases(run: LocalRun, steps: list[dict[str, Any]]) -> None:
    (recovery,) = [each for step in steps for each in step.get("recoveries", [])]
    told = {each["phase"]: float(each["seconds"]) for each in run.status["goodput"]["spent"] if each.get("rung")}
    assert told == pytest.approx({name: s for name, s in recovery["phases"].items() if name != "step"}, abs=0.002)


def test_hardly_anything_is_lost_in_a_run_that_goes_on_from_memory(run: LocalRun) -> None:
    lost = spent(run).get("Lost", 0.0)
    assert lost < 0.1 * spent(run)["Productive"], spent(run)


def test_throughput_and_end_follow_from_the_ledger(run: LocalRun, steps: list[dict[str, Any]]) -> None:
    """Each line that the last start told of itself."""
    by_step = {step["step"]: step for step in steps}
    told = [event["figures"] for event in events(run) if event["figures"].get("step")]
    first = min(figures["step"] for figures in told)
    assert len(told) > 5
    for figures in told:
        ledger = by_step[figures["step"]]
        before = by_step.get(figures["step"] - 1, {"tokens": 0})
        assert figures["tokensPerSecond"] == pytest.approx(
            (ledger["tokens"] - before["tokens"]) / ledger["secondsPerStep"], rel=0.01
        )
        if figures["step"] > first + 1:
            start = [step for step in steps if first <= step["step"] <= figures["step"]]
            assert figures["secondsLeft"] == pytest.approx(seconds_left(start, STEPS), rel=0.01, abs=0.01)


def seconds_left(done: list[dict[str, Any]], last: int) -> float:
    """From the lines of the steps since a start: the mean of those after the first, each weighted by e to the minus minutes
    between its end and now, for the steps that are left; longer by the share of time that saving took."""
    weight = weighted = age = 0.0
    for step in reversed(done[1:]):
        own = step["secondsPerStep"] - step.get("checkpointStallSeconds", 0.0)
        weight += math.exp(-age / 60)
        weighted += math.exp(-age / 60) * own
        age += own
    saving = total(done, "checkpointStallSeconds") / total(done, "secondsPerStep")
    return (last - done[-1]["step"]) * weighted / weight / (1 - saving)


def events(run: LocalRun) -> list[dict[str, Any]]:
    files = sorted((run.storage / layout.LOCAL).rglob("events.jsonl"), key=lambda path: path.stat().st_mtime)
    (train,) = [path for path in files if "train" in str(path.parent).lower()][-1:]
    return [json.loads(line) for line in train.read_text().splitlines()]
