"""The benchmark of training runs from end to end, for each objective that the rival knows. Its figures mean nothing here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "benchmarks" / "train" / "run.py"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("objective", "preset"), [("causalLM", "llama-nano"), ("maskedLM", "bert-nano"), ("spanCorruption", "t5-nano")]
)
def test_of_training_compares_ours_with_the_rival(objective: str, preset: str, tmp_path: Path) -> None:
    small = ["--vocab-size", "1024", "--sequence-length", "32", "--batch", "4", "--micro-batch", "2", "--steps", "6"]
    command = [sys.executable, str(RUN), "--objective", objective, "--preset", preset, *small]
    subprocess.run([*command, "--output", str(tmp_path / "result.json")], check=True, timeout=240)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["ratio"]["median"] > 0
    assert {len(losses) for losses in result["losses"].values()} == {6}
