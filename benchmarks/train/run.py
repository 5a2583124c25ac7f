"""Training speed: our loop against Hugging Face's Trainer, same model, weights, data, order and batch, on this machine.

    python benchmarks/train/run.py --output benchmarks/train/results/NAME.json
    python benchmarks/train/run.py --objective maskedLM

Each contender has a process of its own, and they take turns step by step, so that both meet the same noise of the
machine; a step's time is all the time from the end of one step to the end of the next, logging included. The first steps
are left out. On a machine that others use too, the ratio of CPU time is the one to trust.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import corpus
from baton import Contender

HERE = Path(__file__).parent

WARM_STEPS = 3
PRESETS = {"causalLM": "llama-tiny", "maskedLM": "bert-tiny", "spanCorruption": "t5-small"}


def write_job(root: Path, options: argparse.Namespace, name: str, document_mask: str) -> Path:
    """The job of a contender; all but the name and the mask is the same."""
    job = {
        "metadata": {"name": name},
        "spec": {
            "storage": {"uri": str(root)},
            "data": {"sources": [{"name": corpus.SOURCE, "documents": "unused"}]},
            "tokenizer": {"train": {"vocabSize": options.vocab_size}},
            "model": {"preset": options.preset or PRESETS[options.objective]},
            # The rival knows no documents in a packed sequence, so the comparison is made without their mask.
            "objective": {options.objective: {} if document_mask == "as it is" else {"documentMask": document_mask}},
            "training": {
                "sequenceLength": options.sequence_length,
                "globalBatchSize": options.batch,
                "microBatchSize": options.micro_batch,
                # One more than is timed, so that no contender ends the run and writes its last checkpoint inside a turn.
                "steps": options.steps + 1,
                "precision": options.precision,
                # The rival decays embeddings too; without decay the curves can be compared.
                "optimizer": {"adamw": {"learningRate": 1e-3, "weightDecay": 0.0}},
                # The two warm up differently (the rival's first step has a rate of 0), so neither does.
                "schedule": {"warmupSteps": 0, "decay": "constant"},
            },
            "checkpoint": {"everySeconds": 1000000},
            "evaluation": {"everySteps": 0},
        },
    }
    file = root / f"{name}.json"
    file.write_text(json.dumps(job))
    return file


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def quartiles(values: list[float]) -> dict[str, float]:
    return dict(zip(("lowerQuartile", "median", "upperQuartile"), statistics.quantiles(values), strict=True))


def main() -> None:
    """Run the rounds and print, and write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objective", choices=PRESETS, default="causalLM")
    parser.add_argument("--preset", default="", help="by default the tiny one that fits the objective")
    parser.add_argument("--vocab-size", type=int, default=32768)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of all contenders")
    parser.add_argument("--sequence-length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    tokens = options.batch * options.sequence_length
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        corpus.write(root, options.vocab_size, options.sequence_length, options.batch * (options.steps + 1))
        plain = "as it is" if options.objective == "spanCorruption" else "none"
        programs = [
            ("ours", "ours.py", write_job(root, options, "ours", plain)),
            ("huggingFace", "hugging_face.py", write_job(root, options, "hugging-face", plain)),
        ]
        if plain == "none":
            programs.append(("oursWithDocumentMask", "ours.py", write_job(root, options, "ours-masked", "attention")))
        made = [corpus.ENCODE, corpus.TOKENIZER]
        contenders = {
            name: stack.enter_context(Contender([sys.executable, str(HERE / script), str(file), *made]))
            for name, script, file in programs
        }
        for step in range(options.steps):
            turns = {name: contender.turn() for name, contender in contenders.items()}
            print(step + 1, {name: round(tokens / seconds) for name, seconds in turns.items()}, flush=True)
    rates = {n: [tokens / s for s in c.seconds[WARM_STEPS:]] for n, c in contenders.items()}
    cpu_seconds = {n: c.cpu_seconds[WARM_STEPS:] for n, c in contenders.items()}
    losses = {n: c.losses for n, c in contenders.items()}
    ratios = [a / b for a, b in zip(rates["ours"], rates["huggingFace"], strict=True)]
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "threads": int(os.environ["OMP_NUM_THREADS"])},
        "versions": {name: version(name) for name in ("torch", "transformers", "accelerate")},
        "settings": {k: v for k, v in vars(options).items() if k != "output"},
        "tokensPerSecond": {n: {"median": statistics.median(r), "steps": r} for n, r in rates.items()},
        "ratio": quartiles(ratios),
        "cpuSecondsPerStep": cpu_seconds,
        "cpuTimeRatio": quartiles(
            [b / a for a, b in zip(cpu_seconds["ours"], cpu_seconds["huggingFace"], strict=True)]
        ),
        "losses": losses,
        "greatestLossDifference": max(abs(a - b) for a, b in zip(losses["ours"], losses["huggingFace"], strict=False)),
    }
    print(json.dumps({k: result[k] for k in ("ratio", "cpuTimeRatio", "greatestLossDifference")}, indent=1))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
