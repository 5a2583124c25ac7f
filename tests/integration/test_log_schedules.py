"""A hundred thousand random schedules of starts that share a commit log: answers lost, requests late, crashes, damage, collection."""

import pytest
from support.log_model import at_random

_EACH = 12_500


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_the_log_stays_in_order(part: int) -> None:
    """A failure names its seed; `support.log_model.at_random(SEED)` plays it again."""
    overtaken = records = 0
    for seed in range(part * _EACH, (part + 1) * _EACH):
        try:
            run = at_random(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        overtaken += run.overtaken
        records += len(run.log.slots)
    assert records > 10 * _EACH
    assert overtaken > _EACH // 2
