"""What is made from the types and the commands is current in the repository."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_crd_and_the_reference_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
