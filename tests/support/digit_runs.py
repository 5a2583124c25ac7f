"""A run of real stages on a few handwritten digits, in seconds, for objectives that learn from images."""

import io
import json
import os
from pathlib import Path
from typing import Any

from support import zygote
from support.data_stages import DataStages
from support.finished_runs import FinishedRun
from support.given_shards import index
from support.tars import tar
from support.zygote import Forked

from pretrain_api.events import ENV_EVENTS, ENV_OUTCOME
from pretrain_api.stages import Stage

DIGITS = 240
SIDE = 16
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digits(folder: Path, count: int = DIGITS) -> str:
    """Tars of digits with their names as captions and categories, indexed; the manifest's place."""
    from PIL import Image
    from sklearn.datasets import load_digits

    found, files = load_digits(), dict[str, bytes]()
    for number, (levels, digit) in enumerate(zip(found.images[:count], found.target[:count], strict=True)):
        png = io.BytesIO()
        Image.fromarray((levels * 15).astype("uint8")).resize((SIDE, SIDE)).save(png, "PNG")
        files[f"{number:04d}.png"] = png.getvalue()
        files[f"{number:04d}.txt"] = f"the digit {NAMES[digit]}, as somebody wrote {digit} by hand".encode()
        files[f"{number:04d}.json"] = json.dumps({"category": str(digit)}).encode()
    folder.mkdir(parents=True)
    (folder / "000000.tar").write_bytes(tar(files))
    index(folder)
    return str(folder / "manifest.json")


class ImageRun(FinishedRun):
    """One source of digits; `spec` has at least model and objective."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        source = {"name": "digits", "shards": digits(folder / "images")}
        DataStages.__init__(self, folder, {"sources": [source], "validation": {"fraction": 0.2}})
        job = json.loads(self.job.read_text())
        del job["spec"]["tokenizer"]
        job["spec"]["training"] = {
            "sequenceLength": 24, "globalBatchSize": 8, "steps": 40, "precision": "fp32", "optimizer": {"adamw": {"learningRate": 2e-3}},
            "schedule": {"warmupSteps": 5},
        }  # fmt: skip
        job["spec"] |= {"evaluation": {"labels": "category"}, "checkpoint": {"everySeconds": 1}, **spec}
        self.job.write_text(json.dumps(job))

    @staticmethod
    def start_ranks(run: FinishedRun, ranks: int) -> Forked:
        """Train on several ranks, under an agent."""
        own = {
            ENV_OUTCOME: str(run.folder / "Train-outcome.json"),
            ENV_EVENTS: str(run.folder / "events.jsonl"),
            "OMP_NUM_THREADS": "1",
        }
        arguments = ["--ranks", str(ranks), "--", *run.arguments(Stage.TRAIN)]
        with (run.folder / "Train.log").open("ab") as log:
            return zygote.start("pretrain_trainer.agent.program", arguments, {**os.environ, **own}, log)
