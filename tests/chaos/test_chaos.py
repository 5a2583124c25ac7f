"""Chaos on a real cluster: what can break breaks, in an order of its own each time, and no sample is lost or repeated.

    PRETRAIN_TEST_SEED=7 PRETRAIN_CHAOS_SECONDS=600 pytest tests/chaos -s     # play a run again
    PRETRAIN_CHAOS_ONLY="node cut off,rank killed" pytest tests/chaos -s
    make soak SECONDS=7200                                                    # for hours

The timeline is drawn into `build/chaos/`, and beside it the dashboards as Grafana would have shown them.
"""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.chaos import events, monitored, play, timeline
from support.chaos.place import Place
from support.charts import overlaid
from support.cluster import clocks
from support.cluster.cluster import DevelopmentCluster
from support.cluster.foreign import AnyCluster
from support.cluster.remote_job import RemoteJob, a_corpus, a_spec
from support.eventually import eventually

SEED = int(os.environ.get("PRETRAIN_TEST_SEED", random.SystemRandom().randrange(1 << 30)))
ONLY = os.environ.get("PRETRAIN_CHAOS_ONLY", "")
"""Names of events, with commas; without it all."""
SECONDS = float(os.environ.get("PRETRAIN_CHAOS_SECONDS", "75"))
BUILD = Path(__file__).resolve().parents[2] / "build" / "chaos"
MANY = 1_000_000
RANK_KILLED, CLOCK = (next(e for e in events.EVENTS if e.name == name) for name in ("rank killed", "clock wrong"))
_LONG_SECONDS = 600
MOST_BREAKS = 8
"""After more than six within an hour PretrainJobRecoveryLoop fires, if no other alert did before."""

pytestmark = pytest.mark.timeout(SECONDS + 1500)


def a_job(cluster: AnyCluster) -> RemoteJob:
    """It trains for ever, on one worker or two, each on a node of its own where there is room."""
    apart = {
        "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"pretrain.dev/stage": "train"}},
        },
        "weight": 100,
    }
    affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [apart]}}
    spec = overlaid(
        a_spec(cluster, a_corpus(cluster)),
        {
            "data": {"prepare": {"parallelism": 1}},
            "training": {"steps": MANY},
            "evaluation": {"everySteps": 0},
            "workers": {"min": 1, "max": 2, "template": {"affinity": affinity}},
            "checkpoint": {"everySeconds": 1},
            "recovery": {"maxFailures": MANY},
        },
    )
    return RemoteJob.applied(cluster, "chaos", spec)


def chosen() -> list[events.Event]:
    """What breaks. Where clocks can be set, each recovery takes seconds longer: too long for a short run."""
    if ONLY:
        return [event for event in events.EVENTS if event.name in ONLY.split(",")]
    return [event for event in events.EVENTS if SECONDS >= _LONG_SECONDS or event is not CLOCK]


@pytest.fixture
def nodes_clocks(development_cluster: DevelopmentCluster) -> Iterator[None]:
    """Clocks of the nodes that can be set, where one of them will be."""
    with contextlib.ExitStack() as stack:
        if CLOCK in chosen():
            nodes = development_cluster.nodes
            stack.enter_context(clocks.of_their_own(nodes, *(0 for _ in nodes)))
        yield


@pytest.mark.usefixtures("nodes_clocks")
def test_training_goes_on_and_reads_every_sample_once(
    installed: AnyCluster, development_cluster: DevelopmentCluster, tmp_path: Path
) -> None:
    """And what Prometheus saw of it: panels and rules that show what happened, and an alert that fired."""
    with monitored.monitored(development_cluster) as seen:
        job = a_job(installed)
        job.until("Training")
        place = Place(development_cluster, job, random.Random(SEED))
        play.until_steps(place, 1)
        print(f"PRETRAIN_TEST_SEED={SEED}")
        happened = play.play(place, chosen(), SECONDS, print)
        for _ in range(MOST_BREAKS):
            if seen.fired():
                break
            happened.append(play.broken(place, [RANK_KILLED]))
        fired = eventually(seen.fired, within_seconds=60, every_seconds=1)
        timeline.draw(BUILD / f"{SEED}.svg", happened, place.seen, f"{SECONDS:.0f} s of chaos, seed {SEED}")
        seen.draw(BUILD / f"{SEED}", job)
        unanswered = seen.unanswered()

    job.edit(suspend=True)
    job.until("Suspended", 180)
    found = job.audited(tmp_path)
    assert found["steps"] >= place.seen[-1].step
    job.delete()
    print(f"fired: {sorted(fired)}; no answer: {sorted(unanswered)}")
    names = {name for event in happened for name in event.name.split(" + ")}
    assert monitored.unexplained(unanswered, names) == set()
