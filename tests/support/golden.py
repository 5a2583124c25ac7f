"""Golden files: what something looked like when a person last agreed to it. WRITE_GOLDEN=1 writes them anew."""

import os
from pathlib import Path


def assert_golden(path: Path, text: str) -> None:
    """The text is what the file holds."""
    if os.environ.get("WRITE_GOLDEN") == "1":
        path.write_text(text)
    expected = path.read_text() if path.exists() else ""
    assert text == expected, f"{path.name} is not what is seen now; if it should be, run again with WRITE_GOLDEN=1"
