"""The commits that led to the newest one, each held against its successor, its history file and its payload."""

import hashlib
import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from pretrain_api import layout
from pretrain_api.commits import RECORDS, Commit
from pretrain_api.errors import PretrainError, UserError
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.findings import ABSENT, Difference


@dataclass(frozen=True)
class Logged:
    """A commit and the bytes of its record."""

    commit: Commit
    sha256: str


@dataclass(frozen=True)
class Lineage:
    """Commits from the first to the newest."""

    commits: list[Commit]
    differences: list[Difference]


def read(storage: Storage) -> Lineage:
    """The lineage of the training that committed last. Raises UserError where none has."""
    log: dict[int, Logged] = {}
    damaged = {}
    generations: list[tuple[int, int]] = []
    for name in storage.names(layout.COMMIT_LOG):
        if not name.endswith(".json"):
            continue
        try:
            content = storage.read_bytes(f"{layout.COMMIT_LOG}/{name}")
            number = int(name.removesuffix(".json"))
            record = RECORDS.validate_json(content)
            generations.append((number, record.generation))
            if isinstance(record, Commit):
                log[number] = Logged(record, hashlib.sha256(content).hexdigest())
        except (ValueError, *ABSENT) as error:  # pydantic's ValidationError is one
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            damaged[name] = f"the record {layout.COMMIT_LOG}/{name} cannot be read: {reason}"
    if not log and damaged:
        raise PretrainError(f"{storage.uri()}: no commit can be read; {next(iter(damaged.values()))}")
    if not log:
        raise UserError(
            "no-checkpoints",
            storage.uri(),
            "no training has committed here.",
            "Give the spec.storage.uri of a run that has a checkpoint.",
        )
    commits, differences = _followed(log)
    differences = [Difference(text) for text in damaged.values()] + _fallen(generations) + differences
    for commit in commits:
        differences += _payload_differences(storage, commit)
    return Lineage(commits, differences)


def _followed(log: dict[int, Logged]) -> tuple[list[Commit], list[Difference]]:
    """From the newest record back, each by the number and the checksum that its successor names."""
    number = max(log)
    commits, differences = [], []
    while True:
        commit = log[number].commit
        commits.append(commit)
        if commit.sequence != number:
            differences.append(Difference(f"commit {number} says that it is commit {commit.sequence}"))
        if commit.parent == 0:
            break
        parent = log.get(commit.parent)
        if parent is None or commit.parent >= number:
            differences.append(Difference(f"commit {number} goes on from commit {commit.parent}, which is not there"))
            break
        if parent.sha256 != commit.parent_sha256:
            differences.append(
                Difference(
                    f"commit {commit.parent} was edited: its SHA-256 is {parent.sha256[:16]}... where its successor, "
                    f"commit {number}, says {commit.parent_sha256[:16]}..."
                )
            )
        differences += _succession(parent.commit, commit)
        number = commit.parent
    root = commits[-1]
    if not root.segments or root.segments[0].start != 0 or len(root.segments) > 1:
        differences.append(Difference(f"commit {root.sequence} is the first, but its weights do not begin at sample 0"))
    return commits[::-1], differences[::-1]


def _fallen(generations: list[tuple[int, int]]) -> list[Difference]:
    """Records of an earlier start behind those of a later one, which the fences keep out."""
    return [
        Difference(f"record {number} of start {generation} stands behind record {before} of start {newer}")
        for (before, newer), (number, generation) in pairwise(sorted(generations))
        if generation < newer
    ]


def _succession(parent: Commit, commit: Commit) -> list[Difference]:
    found = []
    name = f"commit {commit.sequence}"
    if parent.fingerprint != commit.fingerprint:
        found.append(Difference(f"{name} goes on from a commit of another training, {parent.fingerprint}"))
    if parent.generation > commit.generation:
        found.append(Difference(f"{name} of start {commit.generation} goes on from one of start {parent.generation}"))
    if (parent.step, parent.samples) > (commit.step, commit.samples):
        found.append(Difference(f"{name} at step {commit.step} goes on from step {parent.step}"))
    before = [s for s in commit.segments if s.start < parent.samples]
    later = [s for s in commit.segments if s.start >= parent.samples]
    if before != [s for s in parent.segments if s.start < parent.samples]:
        found.append(Difference(f"{name} has other weights before sample {parent.samples} than its parent"))
    if len(later) > 1 or any(s.start != parent.samples for s in later):
        found.append(Difference(f"{name} has weights that begin where training did not go on from: {later[-1].start}"))
    return found


def _payload_differences(storage: Storage, commit: Commit) -> list[Difference]:
    """What the checkpoint itself says of its position, where it was not collected yet."""
    try:
        content = storage.read_bytes(f"{commit.data}/{layout.MANIFEST}")
    except ABSENT:
        return []
    if hashlib.sha256(content).hexdigest() != commit.manifest_sha256:
        return [
            Difference(f"commit {commit.sequence}: the manifest in {commit.data} is not the one that was committed")
        ]
    said = {"step": commit.step, "samples": commit.samples, "tokens": commit.tokens}
    try:
        manifest = json.loads(content)
        position: dict[str, Any] = {name: manifest["position"][name] for name in said}
    except (ValueError, KeyError, TypeError, RecursionError):
        return [Difference(f"commit {commit.sequence}: the manifest in {commit.data} does not say where it stands")]
    return [
        Difference(f"commit {commit.sequence} says {value} {name} where its checkpoint says {position[name]}")
        for name, value in said.items()
        if position[name] != value
    ]
