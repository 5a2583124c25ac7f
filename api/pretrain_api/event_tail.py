"""The progress lines of a running stage program, read as they grow."""

from pathlib import Path

from pydantic import ValidationError

from pretrain_api.events import ProgressEvent
from pretrain_api.recoveries import Recovery
from pretrain_api.silence import Silence


class EventTail:
    """Follows one events file. A line that is still being written waits for its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.newest: ProgressEvent | None = None
        self.newest_step: ProgressEvent | None = None
        """The newest line with training figures."""
        self.recovery: Recovery | None = None
        """The newest recovery."""
        self.silence: Silence | None = None
        """Who does not answer any more, as last said."""

    def read(self) -> list[ProgressEvent]:
        """The lines since the last call."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        content = content[: content.rfind(b"\n") + 1]
        self._offset += len(content)
        events = [event for line in content.splitlines() if (event := _parsed(line))]
        for event in events:
            self.newest = event
            self.recovery = event.recovery or self.recovery
            self.silence = event.silence or self.silence
            if "step" in event.figures:
                self.newest_step = event
        return events


def _parsed(line: bytes) -> ProgressEvent | None:
    """The event in a line. A full disk can cut a line short; one progress line less is no harm."""
    try:
        return ProgressEvent.model_validate_json(line)
    except ValidationError:
        return None
