"""The README's commands, run exactly as printed."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCKS = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def run(block: str) -> None:
    """Run a block in the checkout, as a person would; what `make run` made before is found and skipped."""
    environment = {**os.environ, "TERM": "dumb"}  # the terminal that runs the tests must not matter
    done = subprocess.run(["bash", "-euc", block], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def test_the_first_block_is_the_one_command() -> None:
    assert BLOCKS[0] == "make run\n"


@pytest.mark.parametrize("block", [block for block in BLOCKS[1:] if block != "make test\n"])  # this is `make test`
def test_the_block_does_what_it_says(block: str) -> None:
    run(block)


def test_make_run_makes_what_the_readme_promises() -> None:
    run(BLOCKS[0])
    folder = ROOT / "runs" / "quickstart"
    assert (folder / "export" / "huggingface" / "model.safetensors").exists()
    report = json.loads((folder / "report" / "report.json").read_text())
    for source, figures in report["evaluation"].items():
        assert figures["bitsPerByte"] < figures["baselines"]["gzip"], source
