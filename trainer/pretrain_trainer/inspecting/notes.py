"""What a verification that was interrupted has found so far, in a file of this user: the same command goes on behind it.

Nothing is written to where the shards lie, which may belong to others. A line that was cut by a kill is no line.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pretrain_trainer.inspecting.targets import SampleSource, Source
from pretrain_trainer.inspecting.verify import Task, Verified, address_of
from pretrain_trainer.terminal import say

_LINE = TypeAdapter(tuple[str, Verified])
"""Address of the shard, and what was found."""


class Notes:
    """A line for each shard that was read, by its address."""

    def __init__(self, sources: Sequence[Source]) -> None:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        self.path = state / "pretrain" / "verify" / f"{_identity(sources)}.jsonl"

    def read(self) -> Mapping[str, Verified]:
        """What was found, by the shard's address."""
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            return {}
        found = dict[str, Verified]()
        for line in lines:
            with contextlib.suppress(ValidationError):
                address, verified = _LINE.validate_json(line)
                found[address] = verified
        return found

    def add(self, task: Task, verified: Verified) -> None:
        """Note a shard. Where that fails, the verification cannot be gone on with, and is as right as ever."""
        line = _LINE.dump_json((address_of(task), verified)) + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab", buffering=0) as file:
                file.write(line)
        except OSError as error:
            if task.number == 0:
                say(f"note: {self.path} cannot be written ({error.strerror}), so an interruption begins anew")

    def remove(self) -> None:
        """Forget everything: the verification is complete."""
        self.path.unlink(missing_ok=True)


def _identity(sources: Sequence[Source]) -> str:
    """The same for the same shards at the same place, as their manifests describe them."""
    state = hashlib.sha256()
    for source in sources:
        if isinstance(source, SampleSource):
            place, manifest = source.shards.uri, source.shards.manifest.model_dump_json()
        else:
            place, manifest = source.storage.uri(source.folder), source.manifest.model_dump_json()
        state.update(f"{source.name}\0{place}\0{manifest}\n".encode())
    return state.hexdigest()[:16]
