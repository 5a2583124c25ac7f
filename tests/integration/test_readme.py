"""The README's commands, run exactly as printed."""

import json
import re

import pytest
from support.readme import BLOCKS, ROOT, run

ELSEWHERE = re.compile(r"make (test$|cluster-)")
"""This is `make test`; what needs a cluster is in tests/cluster."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_the_first_block_is_the_one_command() -> None:
    assert BLOCKS[0] == "make run\n"


@pytest.mark.parametrize("block", [block for block in BLOCKS[1:] if not ELSEWHERE.match(block)])
def test_the_block_does_what_it_says(block: str) -> None:
    run(block)


def test_make_run_makes_what_the_readme_promises() -> None:
    run(BLOCKS[0])
    folder = ROOT / "runs" / "quickstart"
    assert (folder / "export" / "huggingface" / "model.safetensors").exists()
    report = json.loads((folder / "report" / "report.json").read_text())
    for source, figures in report["evaluation"].items():
        assert figures["bitsPerByte"] < figures["baselines"]["gzip"], source
