"""Python as `pip install "pretrain-operator[torchx]"` makes it, for tests of what TorchX does there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = str(Path(sys.executable).parent / "uv")


@dataclass(frozen=True)
class Environment:
    """Python with the extra `torchx` and nothing that the lock of this repository says."""

    folder: Path

    def program(self, name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "bin" / name, *arguments],
            env={**os.environ, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def torchx(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.program("torchx", *arguments)

    def python(self, code: str) -> object:
        done = self.program("python", "-c", f"import json\n{code}")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Some seconds with uv's cache."""
    folder = tmp_path_factory.mktemp("torchx") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    # --no-config: the lock's override of torchx's own bounds is not what a user gets.
    install = [UV, "pip", "install", "--quiet", "--no-config", "--system-certs", "--python", folder / "bin" / "python"]
    subprocess.run([*install, f"{ROOT}[torchx]"], check=True, cwd=folder)
    return Environment(folder)
