"""The pods of a job: which stage, attempt and worker they are, and which of them are meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pretrain_api import cluster
from pretrain_api.stages import PHASES, Stage
from pretrain_cli.cluster.table import moment

_INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
_SHARED = {phase.name for phases in PHASES.values() for phase in phases if phase.indexed}
"""Phases whose work is divided; the only pod of another has no number."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_ORDER = {stage.lower(): at for at, stage in enumerate(Stage)}


@dataclass(frozen=True)
class JobPod:
    """A pod as far as its logs are concerned."""

    namespace: str
    name: str
    uid: str
    stage: str
    """In lower case, as in its label."""
    phase: str = ""
    attempt: int = 0
    worker: int = -1
    """Index of a training worker, or of a phase's share; -1 for the only pod of a phase."""
    container: str = ""
    created: datetime = _EPOCH
    node: str = ""
    state: str = ""
    """Phase of the pod."""
    has_started: bool = False
    """Whether its container has written, or may have."""
    has_ended: bool = False

    @property
    def is_training(self) -> bool:
        return self.stage == Stage.TRAIN.lower()

    @property
    def label(self) -> str:
        """For people: train/3, prepare-filter/12, tokenizer."""
        part = f"-{self.phase}" if self.phase and self.phase != "finish" else ""
        return f"{self.stage}{part}" + (f"/{self.worker}" if self.worker >= 0 else "")

    @property
    def order(self) -> tuple[int, int, datetime, str, int, str]:
        """In which they are listed: stages as they run, attempts, workers."""
        return (_ORDER.get(self.stage, len(_ORDER)), self.attempt, self.created, self.phase, self.worker, self.name)


def pod(manifest: Mapping[str, Any]) -> JobPod:
    """A pod as the API server shows it."""
    metadata, spec, status = manifest["metadata"], manifest.get("spec", {}), manifest.get("status", {})
    labels = metadata.get("labels", {})
    # The operator's container stands first; those that a mesh injects come later.
    container = (spec.get("containers") or [{}])[0].get("name", "")
    share = labels.get(_INDEX_LABEL) if labels.get(cluster.LABEL_PHASE) in _SHARED else None
    states = [s.get("state", {}) for s in status.get("containerStatuses", []) if s.get("name") == container]
    ended = status.get("phase") in ("Succeeded", "Failed") or any("terminated" in state for state in states)
    return JobPod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        stage=labels.get(cluster.LABEL_STAGE, ""),
        phase=labels.get(cluster.LABEL_PHASE, ""),
        attempt=_number(labels.get(cluster.LABEL_ATTEMPT), 0),
        worker=_number(labels.get(cluster.LABEL_WORKER, share), -1),
        container=container,
        created=moment(metadata.get("creationTimestamp")) or _EPOCH,
        node=spec.get("nodeName", ""),
        state=status.get("phase", ""),
        has_started=any("running" in state or "terminated" in state for state in states),
        has_ended=ended,
    )


@dataclass(frozen=True)
class Wanted:
    """Which pods are meant. `ranks_per_worker` tells whose a rank is."""

    stage: str = ""
    worker: int = -1
    rank: int = -1
    ranks_per_worker: int = 1

    def has(self, pod: JobPod) -> bool:
        """Whether the pod is meant."""
        if self.stage and pod.stage != self.stage.lower():
            return False
        if self.rank >= 0 and (not pod.is_training or pod.worker != self.rank // self.ranks_per_worker):
            return False
        return self.worker < 0 or pod.worker == self.worker


def previous(pods: Iterable[JobPod]) -> list[JobPod]:
    """Of every worker, and of every share of a phase, the pod before its newest one; those that have none are left out."""
    by_place: dict[tuple[str, str, int], list[JobPod]] = {}
    for each in sorted(pods, key=lambda p: (p.attempt, p.created, p.name)):
        by_place.setdefault((each.stage, each.phase, each.worker), []).append(each)
    return sorted((places[-2] for places in by_place.values() if len(places) > 1), key=lambda p: p.order)


def known(pods: Sequence[JobPod]) -> str:
    """The pods there are, for people."""
    labels = list(dict.fromkeys(pod.label for pod in sorted(pods, key=lambda p: p.order)))
    more = f" and {len(labels) - 12} more" if len(labels) > 12 else ""
    return ", ".join(labels[:12]) + more


def _number(text: object, otherwise: int) -> int:
    return int(text) if isinstance(text, str) and text.isdigit() else otherwise
