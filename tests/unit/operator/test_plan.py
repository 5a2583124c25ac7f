"""Actions in words."""

import pytest

from pretrain_api.stages import Stage
from pretrain_api.world import World
from pretrain_operator.brain.plan import Action, KillStage, PublishWorld, ReleaseJob, StartStage, named


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (StartStage(Stage.TRAIN, 2, {}), "StartStage Train 2"),
        (KillStage(Stage.PREPARE, 1), "KillStage Prepare 1"),
        (PublishWorld(World(attempt=1, generation=3, roster=(), leader="")), "PublishWorld 3"),
        (ReleaseJob(), "ReleaseJob"),
    ],
)
def test_names_its_subject(action: Action, words: str) -> None:
    assert named(action) == words
