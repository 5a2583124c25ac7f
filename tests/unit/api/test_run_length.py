"""How long a run is."""

import pytest

from pretrain_api.run_length import RunLength, run_length
from pretrain_api.types.training import Training


@pytest.mark.parametrize(
    ("length", "steps"),
    [({"steps": 7}, 7), ({"samples": 64}, 2), ({"samples": 65}, 3), ({"tokens": 8192}, 1), ({"tokens": 8193}, 2)],
)
def test_a_run_has_whole_steps_and_rounds_up(length: dict[str, int], steps: int) -> None:
    training = Training(sequence_length=256, global_batch_size=32, **length)
    assert run_length(training) == RunLength(steps, steps * 32)
