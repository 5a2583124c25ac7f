"""What a pod starts."""

import sys
from dataclasses import replace
from pathlib import Path

from pretrain_api.events import ENV_EVENTS, ENV_OUTCOME
from pretrain_api.stages import Stage
from pretrain_trainer.pod import commands
from pretrain_trainer.pod.commands import Place

PLACE = Place(Stage.PREPARE, Path("/etc/pretrain/job.json"), ["Collect=0123"], 2, "filter", 3, 8)
TMP = Path("/tmp/x")


def test_a_phase_has_its_share_and_the_cores_of_its_pod() -> None:
    assert commands.command(PLACE, 4, TMP) == [
        sys.executable, "-m", "pretrain_trainer", "--stage", "Prepare", "--job", "/etc/pretrain/job.json",
        "--upstream", "Collect=0123", "--phase", "filter", "--parts", "8", "--index", "3", "--processes", "4",
        "--scratch", "/tmp/x",
    ]  # fmt: skip


def test_training_has_an_agent_that_is_told_of_worlds() -> None:
    place = replace(PLACE, stage=Stage.TRAIN, phase="finish", index=0, parts=1)
    command = commands.training(place, "uid-7", 9, 8, TMP)
    agent, _, own = " ".join(command).partition(" -- ")
    assert agent == f"{sys.executable} -m pretrain_trainer.agent --ranks 8 --worlds 9 --uid uid-7 --attempt 2"
    assert own.startswith("--stage Train")


def test_ranks_share_the_cores_and_a_pod_of_its_own_mind_may_say_otherwise() -> None:
    def threads(own: dict[str, str]) -> str:
        found = commands.environment(own, Stage.TRAIN, TMP / "e", TMP / "o", processes=2, cores=8, scratch=TMP)
        assert (found[ENV_EVENTS], found[ENV_OUTCOME]) == ("/tmp/x/e", "/tmp/x/o")
        return found["OMP_NUM_THREADS"]

    assert threads({}) == "4"
    assert threads({"OMP_NUM_THREADS": "1"}) == "1"
