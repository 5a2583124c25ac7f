"""How much memory is left."""

from pathlib import Path

import pytest

from pretrain_trainer.machine_memory import available_bytes

MEMINFO = "MemTotal:       20000000 kB\nMemAvailable:    2000000 kB\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text(MEMINFO)
    return path


def test_of_a_machine_without_limits(machine: Path, tmp_path: Path) -> None:
    assert available_bytes(tmp_path / "none", machine) == 2_000_000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert available_bytes(tmp_path, machine) == 2_000_000 * 1024


def test_of_a_container_with_a_limit(machine: Path, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert available_bytes(tmp_path, machine) == 600
    (tmp_path / "memory.current").write_text("1400\n")
    assert available_bytes(tmp_path, machine) == 0


def test_of_a_container_under_version_1(machine: Path, tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("1000\n")
    assert available_bytes(tmp_path, machine) == 8000


def test_of_this_machine() -> None:
    assert available_bytes() > 1 << 20
