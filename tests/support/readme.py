"""The README's commands, run exactly as printed."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def run(block: str) -> str:
    """Run a block in the checkout, as a person would; what it printed. What was made before is found and skipped."""
    # Neither the terminal nor the make that runs the tests must matter.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    done = subprocess.run(
        ["bash", "-euc", block], cwd=ROOT, env={**environment, "TERM": "dumb"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout
