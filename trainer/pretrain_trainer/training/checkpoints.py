"""Saving and loading a training's state: staged in memory, written by a thread, committed to the log.

What is saved: weights and buffers, the optimizer's moments and its number of updates, and the position (step, samples, tokens,
counts of skipped steps, micro-batch size). Learning rate and random numbers are functions of the position and the seed,
so they have no state of their own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self, TypeVar, cast

from torch import Tensor, nn
from torch.distributed import ProcessGroup as Group
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import BlockingAsyncStager

from pretrain_api import layout
from pretrain_api.commits import Bad, Commit, Record, WeightSegment
from pretrain_api.storage import Storage
from pretrain_api.types.training import Checkpoint as CheckpointSpec
from pretrain_trainer.training import collection, commit_log
from pretrain_trainer.training.history import StepFigures, write_history
from pretrain_trainer.training.log_protocol import Fenced
from pretrain_trainer.training.payload import PayloadReader, PayloadWriter
from pretrain_trainer.training.payload_files import CorruptCheckpoint, read_manifest, remove_payload, write_manifest
from pretrain_trainer.training.spent import Spent
from pretrain_trainer.training.world import World

_LOGGER = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Position:
    """How far a training is. Everything that moves with training is a function of this and the job."""

    step: int = 0
    samples: int = 0
    tokens: int = 0
    updates: int = 0
    """Optimizer steps that were not skipped."""
    skipped: int = 0
    skipped_in_a_row: int = 0
    recovered: int = 0
    """When the newest recovery in the history was, in microseconds since 1970."""
    stand_ins: int = 0
    """Samples whose record was damaged, and that counted in no loss."""
    micro_batch_size: int = 0
    """Samples per forward pass: part of the state, since it decides the order of floating-point sums."""
    spent: Spent = field(default_factory=Spent)
    """What the steps up to here took, of whatever starts."""

    @classmethod
    def of_manifest(cls, position: Mapping[str, Any]) -> Self:
        """As `dataclasses.asdict` wrote it. Checkpoints that do not say what their steps took count from nothing."""
        return cls(**{**position, "spent": Spent(**position.get("spent", {}))})


@dataclass(frozen=True)
class Written:
    """What writing a checkpoint took, of this rank's part of it."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class _State:
    """What a commit says beside the tensors."""

    position: Position
    segments: tuple[WeightSegment, ...]
    figures: tuple[StepFigures, ...]
    final: bool


class Checkpoints:
    """The checkpoints of one training. Every rank makes one and calls the same methods in the same order."""

    def __init__(self, storage: Storage, fingerprint: str, spec: CheckpointSpec, world: World) -> None:
        self._storage, self._fingerprint, self._spec, self._world = storage, fingerprint, spec, world
        self._stager = BlockingAsyncStager()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._nonce: str = world.from_first(uuid.uuid4().hex[:8])
        fenced = _of_first(
            world, lambda: commit_log.fence(storage, fingerprint, self._nonce, external_lock=spec.external_lock)
        )
        self._generation, self._next_sequence = fenced.generation, fenced.next_sequence
        self._mine = _commits(fenced.records, fingerprint)
        self._damaged = commit_log.damaged(fenced.records)
        self._parent_sha256 = ""
        self.written: list[Written] = []
        """What this start wrote, until somebody takes it."""
        self.newest: Commit | None = None
        """The commit that was loaded or written last."""
        _of_first(world, partial(_remove_abandoned, storage, fenced))

    @property
    def start(self) -> int:
        """Number of this start in the log of commits: higher than that of any start before it."""
        return self._generation

    @property
    def newest_whole(self) -> Commit | None:
        """The newest commit that is not known to be damaged."""
        return self._whole[-1] if self._whole else None

    def stand_on_newest(self) -> None:
        """Go on behind the newest commit without loading it: its state, or a later one, came from elsewhere."""
        folders = _of_first(self._world, lambda: set(self._storage.names(layout.CHECKPOINT_DATA)))
        if self._whole:
            self._stand_on(self._whole[-1], folders)

    def load(self, tensors: Mapping[str, Tensor]) -> Position | None:
        """Load the newest commit whose files are intact into the tensors, in place; None when there is no commit yet.

        A damaged one is recorded as such in the log and the one before is taken. Raises CorruptCheckpoint when there are
        commits and all are damaged: starting again from nothing is a decision for a person.
        """
        # Rank 0 alone has seen what this start committed.
        self._mine, self._damaged = self._world.from_first((self._mine, self._damaged))
        folders = _of_first(self._world, lambda: set(self._storage.names(layout.CHECKPOINT_DATA)))
        for commit in _candidates(self._mine, self._damaged, folders):
            try:
                manifest = _of_first(self._world, partial(_manifest, self._storage, commit))
                _load(self._storage, commit, manifest, dict(tensors), self._world.control)
            except CorruptCheckpoint as error:
                self._found_damaged(commit, str(error))
                continue
            self._stand_on(commit, folders)
            return Position.of_manifest(manifest["position"])
        if self._mine:
            raise CorruptCheckpoint(_nothing_left(self._storage))
        return None

    def save(
        self,
        tensors: Mapping[str, Tensor],
        position: Position,
        segments: tuple[WeightSegment, ...],
        figures: Sequence[StepFigures],
        *,
        final: bool,
    ) -> None:
        """Copy the tensors, then write and commit them on a thread. Waits for the save before, if it still runs."""
        self.wait()
        staged = self._stager.stage(dict(tensors))
        state = _State(position, segments, tuple(figures), final)
        self._thread = threading.Thread(target=self._write, args=(staged, state), name="checkpoint", daemon=True)
        self._thread.start()

    @property
    def is_saving(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def poll(self) -> None:
        """Raise what went wrong in the thread, if it has ended."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait until the save has ended and raise what went wrong in it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    @property
    def _whole(self) -> list[Commit]:
        return [c for c in self._mine if c.sequence not in self._damaged]

    def _stand_on(self, commit: Commit, folders: set[str]) -> None:
        self.newest = commit
        # Those that were removed long ago are not to be kept, nor removed again.
        self._mine = [c for c in self._mine if c.data.rsplit("/", 1)[-1] in folders]
        self._parent_sha256 = _of_first(self._world, partial(commit_log.sha256, self._storage, commit.sequence))

    def _found_damaged(self, commit: Commit, reason: str) -> None:
        """Every rank comes here with the same commit."""
        _LOGGER.warning("checkpoint of step %d is damaged, trying the one before: %s", commit.step, reason)
        if commit.sequence in self._damaged:
            return
        self._damaged[commit.sequence] = reason
        self._next_sequence = _of_first(self._world, lambda: self._append_bad(commit, reason).sequence) + 1

    def _append_bad(self, commit: Commit, reason: str) -> Bad:
        return commit_log.append(
            self._storage,
            Bad(
                sequence=self._next_sequence,
                fingerprint=self._fingerprint,
                generation=self._generation,
                of=commit.sequence,
                reason=reason,
                time=datetime.now(UTC),
                nonce=f"{self._nonce}-bad-{commit.sequence}",
            ),
        )

    def _write(self, staged: Any, state: _State) -> None:
        position, began = state.position, time.perf_counter()
        try:
            folder = f"{layout.CHECKPOINT_DATA}/{position.step:08d}-{self._generation}-{self._nonce}"
            writer = PayloadWriter(self._storage, folder, self._world.rank)
            with _real_errors():
                state_dict_saver.save(staged, storage_writer=writer, process_group=self._world.saving)
            if self._world.is_first:
                manifest = {**writer.manifest, "fingerprint": self._fingerprint, "position": asdict(position)}
                self._commit(folder, write_manifest(self._storage, folder, manifest), state)
            self.written.append(Written(time.perf_counter() - began, writer.bytes))
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self._error = error

    def _commit(self, folder: str, manifest_sha256: str, state: _State) -> None:
        position, writer = state.position, f"{self._generation}-{self._nonce}"
        history, history_sha256 = write_history(self._storage, self._fingerprint, writer, state.figures)
        commit = commit_log.append(
            self._storage,
            Commit(
                sequence=self._next_sequence,
                fingerprint=self._fingerprint,
                generation=self._generation,
                step=position.step,
                samples=position.samples,
                tokens=position.tokens,
                segments=state.segments,
                final=state.final,
                data=folder,
                manifest_sha256=manifest_sha256,
                history=history,
                history_sha256=history_sha256,
                parent=self.newest.sequence if self.newest else 0,
                parent_sha256=self._parent_sha256,
                time=datetime.now(UTC),
                nonce=f"{self._nonce}-{position.step}",
            ),
        )
        self._next_sequence = commit.sequence + 1
        self._mine.append(commit)
        self.newest = commit
        self._parent_sha256 = commit_log.sha256(self._storage, commit.sequence)
        going = commit_log.superseded(
            self._storage, commit, self._mine, self._damaged, self._spec.keep_last, self._spec.keep_every_steps
        )
        self._mine = [c for c in self._mine if c not in going or not _removed(self._storage, c)]


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Weights and persistent buffers by name, `model.<name>`; tied ones once. The tensors themselves, not copies."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[f"model.{name}"] = tensor.detach()
    return tensors


def load_model(storage: Storage, fingerprint: str, model: nn.Module) -> Commit:
    """Load the weights of a training's newest intact commit into an unsharded model; returns the commit.

    Raises CorruptCheckpoint when there is none.
    """
    records = commit_log.read(storage)
    folders = set(storage.names(layout.CHECKPOINT_DATA))
    for commit in _candidates(_commits(records, fingerprint), commit_log.damaged(records), folders):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="torch.distributed is disabled")
                _load(storage, commit, _manifest(storage, commit), model_tensors(model), None)
        except CorruptCheckpoint as error:
            _LOGGER.warning("checkpoint of step %d is damaged, trying the one before: %s", commit.step, error)
            continue
        return commit
    raise CorruptCheckpoint(_nothing_left(storage))


def _remove_abandoned(storage: Storage, fenced: Fenced) -> None:
    for folder in collection.abandoned(storage.names(layout.CHECKPOINT_DATA), fenced):
        storage.remove(f"{layout.CHECKPOINT_DATA}/{folder}")


def _removed(storage: Storage, commit: Commit) -> bool:
    """Remove a checkpoint that is not needed any more. A fault does not matter: the next save tries again."""
    try:
        remove_payload(storage, commit.data, commit.manifest_sha256)
    except Exception as error:  # noqa: BLE001 - whatever it is, the new checkpoint is committed
        _LOGGER.warning("%s could not be removed yet: %s", storage.uri(commit.data), error)
        return False
    return True


def _of_first(world: World, action: Callable[[], Result]) -> Result:
    """What rank 0 finds; what it raises, every rank raises."""
    found: tuple[Result | None, Exception | None] = None, None
    if world.is_first:
        try:
            found = action(), None
        except Exception as error:  # noqa: BLE001 - raised below, where the other ranks hear of it
            found = None, error
    result, raised = world.from_first(found)
    if raised is not None:
        raise raised
    return cast("Result", result)


def _commits(records: Sequence[Record], fingerprint: str) -> list[Commit]:
    return [record for record in records if isinstance(record, Commit) and record.fingerprint == fingerprint]


def _candidates(commits: Sequence[Commit], damaged: Mapping[int, str], folders: set[str]) -> list[Commit]:
    """Newest first, without those whose payload was collected; the newest never is. Those that were found damaged come
    last: somebody may have restored their files."""
    newest_first = list(reversed(commits))
    there = [c for n, c in enumerate(newest_first) if n == 0 or c.data.rsplit("/", 1)[-1] in folders]
    return sorted(there, key=lambda commit: commit.sequence in damaged)


def _manifest(storage: Storage, commit: Commit) -> dict[str, Any]:
    return read_manifest(storage, commit.data, commit.manifest_sha256)


def _load(
    storage: Storage, commit: Commit, manifest: dict[str, Any], tensors: dict[str, Tensor], group: Group | None
) -> None:
    """Read a checkpoint's chunks into the tensors; without a group, by this process alone.

    Raises CorruptCheckpoint, on every rank; the tensors may hold a part of it then.
    """
    reader = PayloadReader(storage, commit.data, manifest)
    with _real_errors():
        state_dict_loader.load(tensors, storage_reader=reader, process_group=group, no_dist=group is None)


@contextlib.contextmanager
def _real_errors() -> Iterator[None]:
    """DCP gathers what went wrong on all ranks in a BaseException of its own; the first of them is what to tell of."""
    first: BaseException | None = None
    try:
        yield
    except CheckpointException as error:
        first = error.failures[min(error.failures)][0]
    if first is not None:  # not inside the handler, so that it keeps its own cause
        raise first


def _nothing_left(storage: Storage) -> str:
    return (
        f"{storage.uri(layout.COMMIT_LOG)} names checkpoints, but none of them can be read any more. "
        "Restore their files, or remove the run's checkpoints folder to train from the start."
    )
