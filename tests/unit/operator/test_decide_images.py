"""A job that learns from images, on the simulated body: its stages, whole ones, and its progress in images."""

from dataclasses import replace
from pathlib import Path

from support import image_runs
from support.stage_runs import NOON, an_ended_run

from pretrain_api.stages import UPSTREAM, Stage
from pretrain_api.types import PretrainJob, PretrainJobStatus
from pretrain_operator.bodies.simulated.body import Cluster, SimulatedBody, drive
from pretrain_operator.bodies.simulated.programs import Fate
from pretrain_operator.brain.decide import decide
from pretrain_operator.brain.observed import Observed
from pretrain_operator.brain.plan import StartStage

SPEC = PretrainJob.model_validate(image_runs.a_job(Path("/run"), {"some": "/tars/manifest.json"})).spec
STAGES = [Stage.ENCODE, Stage.TRAIN, Stage.EVALUATE, Stage.EXPORT, Stage.REPORT]


def ran(fates: dict[tuple[Stage, int], Fate]) -> Cluster:
    cluster = Cluster()
    drive(SimulatedBody(cluster, SPEC, fates), lambda now: SPEC)
    return cluster


def test_has_no_stage_for_documents_or_for_a_tokenizer() -> None:
    cluster = ran({})
    assert [program.stage for program in cluster.history] == STAGES
    assert [(entry.name, entry.state) for entry in cluster.status.stages] == [(each, "Complete") for each in STAGES]
    assert cluster.status.state == "Succeeded"


def test_gives_each_stage_the_identities_of_what_it_reads() -> None:
    cluster = ran({})
    made = {program.stage: program.fingerprint for program in cluster.history}
    for program in cluster.history:
        assert dict(program.upstream) == {each: made[each] for each in UPSTREAM[program.stage] if each in made}


def test_goes_on_through_failures_as_any_other() -> None:
    cluster = ran({(stage, 1): Fate("crash", after_seconds=1) for stage in STAGES})
    assert (cluster.status.state, cluster.status.recovery.failures) == ("Succeeded", len(STAGES))


def test_no_pods_share_a_stage_in_which_there_is_nothing_to_share() -> None:
    status, started = PretrainJobStatus(), []
    seen = Observed(now=NOON, parts=4)
    decision = decide(SPEC, status, seen)
    for stage in STAGES:
        start = next(action for action in decision.plan if isinstance(action, StartStage))
        started.append((start.stage, start.parts, start.phase))
        run = an_ended_run(0, "complete", stage, phase=start.phase, words={"fingerprint": stage.lower()})
        ended = decide(SPEC, decision.recorded, replace(seen, runs={stage: run}))
        decision = decide(SPEC, ended.recorded, seen)
    assert started == [(stage, 1, "finish") for stage in STAGES]
