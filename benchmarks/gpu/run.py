"""Training speed on one CUDA device: tokens per second of llama-125m and MFU of llama-1b, on random tokens.

    python benchmarks/gpu/run.py --output benchmarks/gpu/results/NAME.json

Runs the Train stage itself, in a process of its own per model, without documents' text: speed does not depend on what
the tokens say. The first steps (compilation, choice of the micro-batch) are left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pretrain_api import layout
from pretrain_api.shards import Manifest, Split
from pretrain_api.storage import Storage
from pretrain_trainer.data import shards

ENCODE, SOURCE = "benchmark-encode", "random"
VOCABULARY, LENGTH, DOCUMENT = 32768, 2048, 700
WARM_STEPS = 5
MODELS = {"llama-125m": {"batch": 256, "steps": 25}, "llama-1b": {"batch": 128, "steps": 15}}


def write_shards(root: Path, samples: int) -> None:
    """Random tokens in documents of one length."""
    storage, folder = Storage(str(root)), layout.shards(ENCODE, SOURCE)
    block = np.random.default_rng(0).integers(0, VOCABULARY, (samples, LENGTH + 1)).astype(np.uint16)
    starts = np.arange(0, block.size, DOCUMENT, dtype=np.uint32)
    with storage.create(f"{folder}/000000.tar") as file:
        writer = shards.ShardWriter(file)
        writer.write(0, block, starts, block.size)
        index, size, sha256 = writer.close()
    shards.publish_index(storage, folder, 0, index)
    train = Split(
        shards=[shards.described("", 0, index, size, sha256)],
        samples=samples,
        tokens=block.size,
        documents=len(starts),
    )
    manifest = Manifest(
        fingerprint=ENCODE,
        source=SOURCE,
        sequence_length=LENGTH,
        samples_per_record=samples,
        dtype="uint16",
        vocab_size=VOCABULARY,
        tokenizer_sha256="0" * 64,
        end_of_text=0,
        padding=0,
        train=train,
        validation=Split(),
    )
    storage.write_json(f"{folder}/{layout.MANIFEST}", manifest.model_dump(mode="json"))


def measure(root: Path, preset: str, document_mask: str, compiled: bool) -> dict[str, Any]:
    """Run the stage; tokens per second and MFU of the steps after the first ones."""
    plan, run = MODELS[preset], root / f"{preset}-{document_mask}"
    run.mkdir()
    (run / "shards").symlink_to(root / "shards")
    job = {
        "metadata": {"name": "benchmark"},
        "spec": {
            "storage": {"uri": str(run)},
            "data": {"sources": [{"name": SOURCE, "documents": "unused"}]},
            "tokenizer": {"train": {"vocabSize": VOCABULARY}},
            "model": {"preset": preset},
            "objective": {"causalLM": {"documentMask": document_mask}},
            "training": {
                "sequenceLength": LENGTH,
                "globalBatchSize": plan["batch"],
                "steps": plan["steps"],
                "precision": "bf16",
                "compile": compiled,
                "schedule": {"warmupSteps": 5},
            },
            "checkpoint": {"everySeconds": 1000000},
            "evaluation": {"everySteps": 0},
        },
    }
    file, events = run / "job.json", run / "events.jsonl"
    file.write_text(json.dumps(job))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", "--no-python"]
    command += [sys.executable, "-m", "pretrain_trainer", "--stage", "Train", "--job", str(file)]
    command += ["--upstream", "Tokenizer=benchmark-tokenizer", "--upstream", f"Encode={ENCODE}"]
    subprocess.run(command, check=True, env={**os.environ, "PRETRAIN_EVENTS": str(events)})
    (history,) = (run / "checkpoints" / "history").glob("*/*.jsonl")
    rates = [json.loads(line)["tokensPerSecond"] for line in history.read_text().splitlines()][WARM_STEPS:]
    figures = [json.loads(line)["figures"] for line in events.read_text().splitlines()]
    mfu = [f["mfuRatio"] for f in figures if f.get("step", 0) > WARM_STEPS and "mfuRatio" in f]
    (record,) = (run / "stages" / "train").glob("*.json")
    return {
        "preset": preset,
        "documentMask": document_mask,
        "tokensPerSecond": {"median": statistics.median(rates), "steps": rates},
        "mfuRatio": statistics.median(mfu) if mfu else None,
        "details": json.loads(record.read_text())["details"],
    }


def main() -> None:
    """Measure every model and print, and write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_shards(root, max(plan["batch"] * 4 for plan in MODELS.values()))
        for preset in MODELS:
            for document_mask in ("none", "attention"):
                results.append(measure(root, preset, document_mask, compiled=not options.eager))
                print(json.dumps({k: v for k, v in results[-1].items() if k != "details"}), flush=True)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "compiled": not options.eager,
        "results": results,
    }
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
