"""What the benchmarks here do with their figures: quantiles, and a file that says where and with what they were taken."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of the others lies, given all in order."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def write(output: Path | None, load: float, found: dict[str, Any]) -> None:
    """Write what was found, into a file that other results may stand in already; nothing where none is named."""
    if output is None:
        return
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "kernel": platform.release()}
    content = json.loads(output.read_text()) if output.exists() else {}
    content |= {
        "time": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, "loadBefore": load,
        "python": platform.python_version(), **found,
    }  # fmt: skip
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(content, indent=1) + "\n")
