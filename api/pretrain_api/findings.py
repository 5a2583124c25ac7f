"""What `pretrain doctor` finds: its own checks, and those that the trainer's program makes and prints as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "warning", "failure", "skipped"]
"""warning: it works, but badly or not for everything; skipped: it could not be looked at."""


@dataclass(frozen=True)
class Finding:
    """One answer of one check."""

    area: str
    """Cluster, Storage or Machine."""
    check: str
    """A word that stays the same: crd, conditional-writes."""
    level: Level
    message: str
    """What was seen, with figures and units."""
    advice: str = ""
    """What to do next; empty where all is well."""


def dumped(findings: Iterable[Finding]) -> str:
    """As one line of JSON."""
    return json.dumps([asdict(finding) for finding in findings])


def loaded(text: str) -> list[Finding]:
    """From that line."""
    return [Finding(**entry) for entry in json.loads(text)]
