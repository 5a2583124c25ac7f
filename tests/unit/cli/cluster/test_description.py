"""What `pretrain describe` says of a job's training, in tokens or in images."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support import image_runs
from support.jobs import a_job

from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster.description import lines

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def described(job: dict[str, Any], **progress: Any) -> list[str]:
    job = {**job, "metadata": {**job["metadata"], "namespace": "research"}}
    status = {"state": "Training", "observedGeneration": 1}
    status["progress"] = {"step": 5, "totalSteps": 12, "loss": "0.5", "updateTime": NOON.isoformat(), **progress}
    return list(lines(job, PretrainJobStatus.model_validate(status), [], [], [], NOON))


def line(found: list[str], word: str) -> str:
    return next(each for each in found if each.strip().startswith(word))


def test_a_job_that_learns_from_images_is_told_in_images() -> None:
    job = image_runs.a_job(Path("/run"), {"some": "/tars/manifest.json"})
    found = described(job, samples=30, samplesPerSecond="412.4000", throughput="412 images/s")
    assert line(found, "training ") == "training    12 steps, batches of 6 images"
    assert "30 images, 412 images/s" in line(found, "progress")
    assert [each for each in found if "token" in each] == []


def test_a_job_that_learns_from_text_is_told_in_tokens() -> None:
    found = described(a_job().manifest, tokens=12_800, tokensPerSecond=2560, samplesPerSecond="10.0000")
    assert line(found, "training ").endswith(" tokens")
    assert "12.8 k tokens, 2560 tokens/s" in line(found, "progress")


def test_a_speed_that_is_no_number_is_left_out() -> None:
    job = image_runs.a_job(Path("/run"), {"some": "/tars/manifest.json"})
    for strange in ("abc", "inf", "nan"):
        assert "loss [/bold]x, 30 images;" in line(
            described(job, samples=30, samplesPerSecond=strange, loss="[/bold]x"), "progress"
        )
