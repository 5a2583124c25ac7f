"""Jobs for tests of the rules: a test states only what matters to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pretrain_api.types import PretrainJob, PretrainJobSpec

_SMALLEST_MODEL = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "vocab_size": 512,
}


@dataclass(frozen=True)
class JobBuilder:
    """A small valid job; each method gives a changed copy."""

    parts: dict[str, Any] = field(default_factory=dict)

    def with_spec(self, **parts: Any) -> JobBuilder:
        """With whole fields of the spec replaced, in the words of YAML."""
        return replace(self, parts={**self.parts, **parts})

    def with_budget(self, failures: int, window_seconds: int = 3600) -> JobBuilder:
        return self.with_spec(recovery={"maxFailures": failures, "windowSeconds": window_seconds})

    def with_deadline(self, seconds: int) -> JobBuilder:
        return self.with_spec(activeDeadlineSeconds=seconds)

    def suspended(self) -> JobBuilder:
        return self.with_spec(suspend=True)

    def with_steps(self, steps: int, processes: int = 1) -> JobBuilder:
        training = {**self.manifest["spec"]["training"], "steps": steps}
        return self.with_spec(training=training, workers={"processesPerWorker": processes})

    def stored_in(self, folder: Path) -> JobBuilder:
        return self.with_spec(storage={"uri": str(folder)})

    @property
    def spec(self) -> PretrainJobSpec:
        return self.job.spec

    @property
    def job(self) -> PretrainJob:
        return PretrainJob.model_validate(self.manifest)

    @property
    def manifest(self) -> dict[str, Any]:
        """The job as it stands in a YAML file."""
        spec = {
            "storage": {"uri": "memory://run"},
            "data": {"sources": [{"name": "lib", "documents": "python://lib/json/*.py"}]},
            "tokenizer": {"train": {"vocabSize": 512}},
            "model": {"config": _SMALLEST_MODEL},
            "objective": {"causalLM": {}},
            "training": {
                "sequenceLength": 64,
                "globalBatchSize": 4,
                "microBatchSize": 2,
                "steps": 4,
                "schedule": {"warmupSteps": 1},
            },
            **self.parts,
        }
        return {
            "apiVersion": "pretrain.dev/v1alpha1",
            "kind": "PretrainJob",
            "metadata": {"name": "test"},
            "spec": spec,
        }


def a_job() -> JobBuilder:
    """A small valid job over the standard library's json package."""
    return JobBuilder()
