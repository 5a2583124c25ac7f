"""What is made from the types and the commands is current in the repository."""

import subprocess
import sys
from pathlib import Path

from support.cluster import programs
from support.cluster.missing import visibly

ROOT = Path(__file__).resolve().parents[2]


def test_the_crd_and_the_reference_pages_are_current() -> None:
    check("--no-helm")


def test_what_helm_renders_is_current() -> None:
    with visibly():
        programs.find("helm")
    check()


def check(*arguments: str) -> None:
    command = [sys.executable, ROOT / "scripts/generate.py", "--check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
