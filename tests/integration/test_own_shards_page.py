"""The commands of docs/how-to/bring-your-own-shards.md, run exactly as printed, in their order."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/bring-your-own-shards.md"
BLOCK = re.compile(r"(?:^`(?P<file>[\w.]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<content>.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    printed = ""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "OMP_NUM_THREADS": "1",
    }
    for block in BLOCK.finditer(PAGE.read_text()):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["content"])
        elif block["kind"] == "bash":
            done = subprocess.run(
                ["bash", "-euc", block["content"]], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, block["content"] + done.stdout[-2000:] + done.stderr[-3000:]
            printed += done.stdout
        elif block["kind"] == "text":
            assert block["content"] in printed
    assert "600 records in 3 shards: all sound" in printed
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 500
    assert "position 100 (step 13), epoch 1 of captions" in printed
    assert "position 100 (step 7), epoch 1 of boats" in printed
    assert "clean: samples 0 to 319 were read once each" in printed
    report = json.loads((tmp_path / "runs" / "tokens" / "report" / "report.json").read_text())
    assert set(report["sources"]) == {"boats", "captions"}
    assert re.search(r"^\d+ tokens, padding included$", printed, re.MULTILINE)
