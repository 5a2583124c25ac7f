"""The recoveries that this rank's agent has told of, for the history of the steps: no torch here."""

from __future__ import annotations

import os
from pathlib import Path

from pretrain_api.recoveries import Recovery
from pretrain_trainer.agent.place import ENV_RECOVERIES


class Recoveries:
    """Reads the agent's file as it grows; without an agent there is none."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._read = path, 0

    def behind(self, newest: int) -> tuple[Recovery, ...]:
        """Those that are new in the file and later than the moment of the newest that is known: a rank that goes on from an older state
        meets some again, and another leader has a file of its own."""
        if self._path is None or not self._path.exists() or self._path.stat().st_size == self._read:
            return ()
        with open(self._path, "rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        self._read += sum(map(len, whole))
        found = (Recovery.model_validate_json(line) for line in whole)
        return tuple(each for each in found if moment(each) > newest)


def moment(recovery: Recovery) -> int:
    """When it was, in microseconds since 1970."""
    return round(recovery.time.timestamp() * 1_000_000)


def of_agent() -> Recoveries:
    """Those that the agent of this rank tells of."""
    path = os.environ.get(ENV_RECOVERIES)
    return Recoveries(Path(path) if path else None)
