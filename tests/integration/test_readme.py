"""The README's commands, run exactly as printed."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCKS = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.xdist_group("readme")]


def test_the_first_block_is_the_one_command() -> None:
    assert BLOCKS[0] == "make run\n"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block != "make test\n"])  # this is `make test`
def test_the_block_does_what_it_says(block: str) -> None:
    # Colours and widths of the terminal that runs the tests must not matter.
    environment = {**os.environ, "TERM": "dumb"}
    done = subprocess.run(["bash", "-euc", block], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def test_make_run_made_what_the_readme_promises() -> None:
    run = ROOT / "runs" / "quickstart"
    assert (run / "export" / "huggingface" / "model.safetensors").exists()
    report = json.loads((run / "report" / "report.json").read_text())
    for source, figures in report["evaluation"].items():
        assert figures["bitsPerByte"] < figures["baselines"]["gzip"], source
