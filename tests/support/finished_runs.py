"""A run of real stages on a little text, in seconds: for tests of what comes after training."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from support import zygote
from support.data_stages import DataStages, a_source
from support.prepared import a_context
from support.zygote import Forked

from pretrain_api import layout
from pretrain_api.events import ENV_EVENTS, ENV_OUTCOME, Outcome
from pretrain_api.stages import Stage, upstream_of
from pretrain_api.types import PretrainJob
from pretrain_api.types.status import PretrainJobStatus, StageStatus
from pretrain_trainer.context import StageContext

HOSTILE = """</script><script>document.title = "owned"</script><img src=x onerror="document.title='owned'">
{{ 7 * 7 }} <b>bold</b> & | ``` ``
"""
"""Text that is HTML, a template and Markdown at once, as documents of unknown origin may be."""

_BEFORE_TRAIN = (Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE)


class FinishedRun(DataStages):
    """Two sources, one with hostile documents, through all stages up to Train."""

    def __init__(self, folder: Path) -> None:
        hostile = folder / "hostile"
        hostile.mkdir(parents=True)
        for number in range(30):
            (hostile / f"{number}.txt").write_text(f"{HOSTILE} Document {number} of text.\n" * 8)
        (hostile / "30.txt").write_text(HOSTILE)  # too short: an example of a removed document
        sources = [
            a_source("python://lib/json/*.py", "library", license="PSF-2.0", weight=3),
            a_source(hostile / "*.txt", "hostile"),
        ]
        loose = {"minWords": 40, "minStopWords": 0, "minAlphabeticWordRatio": 0, "maxSymbolWordRatio": 9,
                 "minMeanWordLength": 0, "maxMeanWordLength": 99}  # fmt: skip
        quality = {"preset": "custom", "gopherQuality": loose}
        data = {"sources": sources, "prepare": {"quality": quality}, "validation": {"fraction": 0.1}}
        super().__init__(folder, data)
        job = json.loads(self.job.read_text())
        job["spec"] |= {
            "tokenizer": {"train": {"vocabSize": 384}},
            "model": {"config": {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64,
                                 "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
                                 "max_position_embeddings": 64, "tie_word_embeddings": True}},
            "training": {"sequenceLength": 32, "globalBatchSize": 8, "steps": 40, "precision": "fp32",
                         "optimizer": {"adamw": {"learningRate": 1e-2}}, "schedule": {"warmupSteps": 5}},
            "evaluation": {"everySteps": 10},
        }  # fmt: skip
        self.job.write_text(json.dumps(job))

    def train(self) -> None:
        """Run the stages; Train in a process of its own, as it sets up PyTorch for itself."""
        self.succeed(*_BEFORE_TRAIN)
        outcome = self.start(Stage.TRAIN)
        assert outcome.wait(timeout=120) == 0
        self.upstream[Stage.TRAIN] = self.outcome(Stage.TRAIN).fingerprint

    def start(self, stage: Stage) -> Forked:
        """The stage's program in a process."""
        path = self.folder / f"{stage.value}-outcome.json"
        path.unlink(missing_ok=True)
        own = {ENV_OUTCOME: str(path), ENV_EVENTS: str(self.folder / "events.jsonl")}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **own}
        with (self.folder / f"{stage.value}.log").open("ab") as log:
            return zygote.start("pretrain_trainer.program", self.arguments(stage), environment, log)

    def outcome(self, stage: Stage) -> Outcome:
        return Outcome.model_validate_json((self.folder / f"{stage.value}-outcome.json").read_text())

    def arguments(self, stage: Stage) -> list[str]:
        """The stage's own upstream alone, as a body gives it."""
        upstream = [f"--upstream={name.value}={value}" for name, value in self.upstream_of(stage).items()]
        return ["--stage", stage.value, "--job", str(self.job), *upstream]

    def context(self, stage: Stage, scratch: Path) -> StageContext:
        """What the stage's program would give the stage."""
        job = PretrainJob.model_validate(json.loads(self.job.read_text()))
        return a_context(job, scratch, "f" * 16, self.upstream_of(stage))

    def upstream_of(self, stage: Stage) -> dict[Stage, str]:
        """The identities that the stage reads."""
        spec = PretrainJob.model_validate(json.loads(self.job.read_text())).spec
        return {name: self.upstream[name] for name in upstream_of(stage, spec)}

    def copy(self, folder: Path, **spec: Any) -> "FinishedRun":
        """The same run in another place, with other settings of stages that did not run yet."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        other = object.__new__(FinishedRun)
        other.__dict__ |= self.__dict__
        other.folder, other.job, other.upstream = folder, folder / "job.json", dict(self.upstream)
        other.storage = type(self.storage)(str(folder / "run"))
        job = json.loads(other.job.read_text())
        job["spec"] |= {"storage": {"uri": other.storage.root}, **spec}
        other.job.write_text(json.dumps(job))
        return other


def record(run: FinishedRun, state: str) -> None:
    """Write the run's status, as a body does."""
    job = PretrainJob.model_validate_json(run.job.read_text())
    stages = [StageStatus(name=name, state="Complete", fingerprint=print_) for name, print_ in run.upstream.items()]
    status = PretrainJobStatus.model_validate({"state": state, "stages": [s.model_dump(by_alias=True) for s in stages]})
    content = job.model_copy(update={"status": status}).model_dump(mode="json", by_alias=True, exclude_none=True)
    run.storage.write_json(layout.STATUS, content)
