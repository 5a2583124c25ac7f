"""The Encode stage against bare `encode_batch_fast` on the same documents, on one core.

    .venv/bin/python benchmarks/encode/run.py

Rounds alternate: the library alone on texts that are in memory already, then the whole stage (Parquet in; hashing for the
validation split, tokens, boundaries, checksums, tars and manifest out) in one process. Figures are tokens per second of
CPU time, so that other work on the machine matters little. Target: the stage reaches 0.9 of the library's rate.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sysconfig
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pretrain_api import layout
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.context import StageContext
from pretrain_trainer.data.token_streams import text_batches
from pretrain_trainer.progress import Progress
from pretrain_trainer.stages import encode, tokenizer
from pretrain_trainer.tokenizer import load_folder

TARGET = 0.9
PREPARED = "prepared"
DOCUMENT_CHARACTERS = 3000


def documents(size: int) -> list[str]:
    """Documents of the standard library's sources and of the manual, of 3,000 characters."""
    from pydoc_data import topics

    texts = list(topics.topics.values())
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if sum(map(len, texts)) > size:
            break
        texts.append(path.read_text(encoding="utf-8", errors="ignore"))
    text = "\n".join(texts)[:size]
    return [text[begin : begin + DOCUMENT_CHARACTERS] for begin in range(0, len(text), DOCUMENT_CHARACTERS)]


def context(job: PretrainJob, scratch: Path, fingerprint: str, upstream: dict[Stage, str]) -> StageContext:
    storage = Storage.of(job.spec.storage)
    return StageContext(job, storage, upstream, fingerprint, Progress("Encode", path=""), scratch, threading.Event())


def machine() -> dict[str, Any]:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    packages = ("tokenizers", "pyarrow", "numpy", "xxhash", "google-crc32c")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=12_000_000, help="text of the corpus")
    parser.add_argument("--vocab-size", type=int, default=32768)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--result", type=Path, default=Path(__file__).parent / "results" / "encode.json")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = documents(options.bytes)
        job = PretrainJob.model_validate(
            {
                "metadata": {"name": "encode"},
                "spec": {
                    "storage": {"uri": str(folder)},
                    "data": {"sources": [{"name": "text", "documents": "*"}], "prepare": {"parallelism": 1}},
                    "tokenizer": {"train": {"vocabSize": options.vocab_size}},
                    "model": {"preset": "llama-tiny"},
                    "objective": {"causalLM": {}},
                    "training": {"steps": 1},
                },
            }
        )
        storage = Storage.of(job.spec.storage)
        table = pa.table({name: texts if name == "text" else [""] * len(texts) for name in ("id", "text", "url")})
        with storage.create(f"{layout.documents(PREPARED, 'text')}/000000.parquet") as file:
            pq.write_table(table, file, compression="zstd", row_group_size=(8 << 20) // DOCUMENT_CHARACTERS)
        tokenizer.run(context(job, folder, "tokenizer", {Stage.PREPARE: PREPARED}))
        loaded = load_folder(storage, layout.tokenizer("tokenizer"))

        def bare() -> float:
            tokens, began = 0, time.process_time()
            for batch in text_batches(texts):
                tokens += sum(map(len, loaded.tokenizer.encode_batch_fast(batch, add_special_tokens=False)))
            return tokens / (time.process_time() - began)

        def stage(number: int) -> float:
            began = time.process_time()
            result = encode.run(
                context(job, folder, f"r{number}", {Stage.PREPARE: PREPARED, Stage.TOKENIZER: "tokenizer"})
            )
            seconds = time.process_time() - began
            source = result.details["bySource"]["text"]
            # The ends of text come from the stage, not from the tokenizer: they do not count.
            tokens = source["tokens"] + source["validationTokens"] - len(texts)
            storage.remove(layout.shards(f"r{number}", "text"))
            return tokens / seconds  # type: ignore[no-any-return]

        bare(), stage(-1)  # caches fill
        rounds = [{"bare": bare(), "stage": stage(number)} for number in range(options.rounds)]
    ratios = [r["stage"] / r["bare"] for r in rounds]
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "settings": {"bytes": options.bytes, "documents": len(texts), "vocabSize": options.vocab_size},
        "unit": "tokens per second of CPU time",
        "rounds": rounds,
        "medians": {name: statistics.median(r[name] for r in rounds) for name in ("bare", "stage")},
        "ratio": {"median": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)},
        "target": TARGET,
        "reached": statistics.median(ratios) >= TARGET,
    }
    options.result.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: result[name] for name in ("medians", "ratio", "reached")}, indent=1))


if __name__ == "__main__":
    main()
