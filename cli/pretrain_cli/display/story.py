"""What happened between two views of a job, as lines worth keeping. Pure, so that both displays tell the same."""

from collections.abc import Iterator

from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import StageStatus
from pretrain_cli.display.wording import duration
from pretrain_operator.brain import conditions, failures


def seconds(stage: StageStatus) -> float:
    """Seconds from a stage's first start to its completion."""
    if stage.start_time is None or stage.completion_time is None:
        return 0.0
    return (stage.completion_time - stage.start_time).total_seconds()


def lines(before: PretrainJobStatus, after: PretrainJobStatus) -> Iterator[str]:
    """Lines for stages that started or ended, failures, and a change to Suspended."""
    known = {s.name: s for s in before.stages}
    for stage in after.stages:
        was = known.get(stage.name)
        if was and was.state == stage.state and was.attempts == stage.attempts:
            continue
        if stage.state == "Complete":
            skipped = stage.message.startswith("skipped")
            took = "" if skipped else f" in {duration(seconds(stage))}"
            yield f"{stage.name}: {stage.message or 'complete'}{took}"
        elif stage.state == "Running" and was and was.state == "Failed":
            yield f"{stage.name}: started again"
    has_failed = after.recovery.failures > before.recovery.failures
    was_disrupted = after.recovery.disruptions > before.recovery.disruptions
    recovering = conditions.condition(after, conditions.RECOVERING)
    goes_on = recovering.status == "True" and recovering.reason in (conditions.SHRINKING, conditions.REPLACING)
    if goes_on and (has_failed or was_disrupted):  # a worker was lost, and the others go on
        yield f"{after.stage}: {recovering.message}"
        return
    if has_failed and after.recovery.last_failure:
        failed = after.recovery.last_failure
        end = "" if after.state == "Failed" else "; another attempt follows by itself"
        yield f"{failed.stage}: failed, {failures.headline(failed)}{end}"
    if was_disrupted and before.stages:
        yield f"{after.stage}: stopped from outside; goes on by itself"
