"""Prepare against datatrove's pipeline: quality rules, deduplication, reading and writing, on one core.

    python benchmarks/prepare/run.py

Both read the same parquet file of ~3 KB documents and write the documents that stay as parquet. Ours applies the
FineWeb preset, exact and MinHash deduplication; datatrove its Gopher, C4 and FineWeb filters and its four MinHash
steps (no exact deduplication, in its favour). Rounds alternate; figures are documents per second of CPU time, so that
other work on the machine matters little. Then the stage program prepares a small and an eight times larger corpus,
and its peak memory is compared. Needs the extras trainer and benchmarks, and no network: datatrove splits words with
spaCy's blank English tokenizer, as it does by default.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer import program
from pretrain_trainer.context import StageContext
from pretrain_trainer.progress import Progress
from pretrain_trainer.stages import prepare

RESULTS = Path(__file__).parent / "results"
DOCUMENT_CHARACTERS = 3000
DUPLICATES = 0.05
"""Share of documents that are a changed copy of an earlier one."""
PREPARE = {"quality": {}, "deduplicate": {"exact": {}, "minhash": {}}, "parallelism": 1}


def sentences() -> list[str]:
    """Sentences of Python's reference manual and of the descriptions of installed packages."""
    import pydoc_data.topics

    texts = list(pydoc_data.topics.topics.values())
    texts += [str(package.metadata.get_payload()) for package in importlib.metadata.distributions()]
    found = set()
    for text in texts:
        for sentence in re.findall(r"(?<=[.] )[A-Z][A-Za-z ,'-]{40,250}\.(?= )", re.sub(r"\s+", " ", text)):
            if sentence.count(",") * 60 < len(sentence):
                found.add(sentence)
    return sorted(found)


def corpus(count: int, seed: int) -> list[str]:
    """Documents of about 3 KB, in paragraphs, most of which pass the filters."""
    rng = random.Random(seed)
    pool = sentences()
    documents: list[str] = []
    for _ in range(count):
        if documents and rng.random() < DUPLICATES:
            documents.append(rng.choice(documents).replace(" the ", " this ", 2))
            continue
        lines, size = [], 0
        while size < DOCUMENT_CHARACTERS:
            line = " ".join(rng.sample(pool, 4))
            lines.append(line)
            size += len(line)
        documents.append("\n".join(lines))
    return documents


def job(folder: Path, source: Path) -> PretrainJob:
    spec = {
        "storage": {"uri": str(folder)},
        "data": {"sources": [{"name": "a", "documents": str(source)}], "prepare": PREPARE},
        "tokenizer": {"train": {}},
        "model": {"preset": "llama-tiny"},
        "objective": {"causalLM": {}},
        "training": {"steps": 1},
    }
    return PretrainJob.model_validate({"metadata": {"name": "benchmark"}, "spec": spec})


def stage_program(stage: Stage, job_file: Path, upstream: list[str]) -> list[str]:
    return ["--stage", stage.value, "--job", str(job_file), *(f"--upstream={u}" for u in upstream)]


def collect(folder: Path, source: Path) -> tuple[Path, str]:
    """The job's file and the identity of Collect, done."""
    folder.mkdir(parents=True)
    job_file = folder / "job.json"
    job_file.write_text(job(folder / "run", source).model_dump_json(by_alias=True, exclude_none=True))
    if program.main(stage_program(Stage.COLLECT, job_file, [])) != 0:
        raise SystemExit("Collect failed")
    (record,) = (folder / "run/stages/collect").iterdir()
    return job_file, record.stem


def ours(folder: Path, collected: tuple[Path, str], round_number: int) -> int:
    """One run of the Prepare stage in this process; documents kept."""
    parsed = PretrainJob.model_validate_json(collected[0].read_text())
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        context = StageContext(
            parsed,
            Storage.of(parsed.spec.storage),
            {Stage.COLLECT: collected[1]},
            f"{round_number:016x}",
            Progress("Prepare", ""),
            Path(scratch),
            threading.Event(),
        )
        return prepare.run(context).flow.documents_out


def datatrove(folder: Path, source: Path) -> int:
    """One run of datatrove's steps in this process; documents kept."""
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    shutil.rmtree(folder, ignore_errors=True)
    filtered = [
        ParquetReader(str(source.parent), glob_pattern=source.name),
        GopherQualityFilter(),
        GopherRepetitionFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
        ParquetWriter(str(folder / "filtered"), compression="zstd"),
    ]
    run(filtered)
    signature = MinhashDedupSignature(str(folder / "signatures"))
    # datatrove 0.10 hands strings to xxhash, which takes bytes only since its version 4.
    signature._hash_func = lambda shingle: xxhash.xxh64_intdigest(shingle.encode())
    run([ParquetReader(str(folder / "filtered")), signature])
    for bucket in range(14):
        step = MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"))
        step.run(None, bucket, 14)
    MinhashDedupCluster(str(folder / "buckets"), str(folder / "removed")).run(None, 0, 1)
    last = [
        ParquetReader(str(folder / "filtered")),
        MinhashDedupFilter(str(folder / "removed")),
        ParquetWriter(str(folder / "out"), compression="zstd"),
    ]
    run(last)
    return sum(pq.ParquetFile(path).metadata.num_rows for path in (folder / "out").glob("*.parquet"))


def run(steps: list[Any]) -> None:
    data: Any = None
    for step in steps:
        data = step.run(data, 0, 1)
    for _ in data or ():
        pass


def measured(action: Callable[[], int], documents: int) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    kept = action()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"kept": kept, "cpuSeconds": cpu, "wallSeconds": wall, "documentsPerCpuSecond": documents / cpu}


def peak_memory(folder: Path, documents: int) -> dict[str, float]:
    """Peak resident memory of the stage program in a process of its own."""
    folder.mkdir(parents=True)
    source = folder / "a.parquet"
    size = 0
    with pq.ParquetWriter(source, pa.schema([("text", pa.string())])) as writer:
        for start in range(0, documents, 2000):
            some = corpus(min(2000, documents - start), start)
            size += sum(len(text.encode()) for text in some)
            writer.write_table(pa.table({"text": some}))
    job_file, fingerprint = collect(folder / "stages", source)
    arguments = stage_program(Stage.PREPARE, job_file, [f"Collect={fingerprint}"])
    measure = (
        "import re, sys; from pretrain_trainer import program; code = program.main(sys.argv[1:]);"
        "print(code, re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run([sys.executable, "-c", measure, *arguments], capture_output=True, text=True, check=True)
    code, kib = map(int, done.stdout.split()[-2:])
    if code != 0:
        raise SystemExit(done.stderr)
    return {"documents": documents, "textBytes": size, "peakResidentBytes": kib * 1024}


def machine() -> dict[str, Any]:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages = ("datatrove", "spacy", "numpy", "pyarrow", "regex", "xxhash")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memoryBytes": memory,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def summary(rounds: list[dict[str, float]]) -> dict[str, float]:
    speeds = [r["documentsPerCpuSecond"] for r in rounds]
    return {"median": statistics.median(speeds), "least": min(speeds), "most": max(speeds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-documents", type=int, default=1500, help="the larger corpus has eight times as many")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(sys.stdout):
        folder = Path(name)
        documents = corpus(options.documents, seed=1)
        source = folder / "in" / "a.parquet"
        source.parent.mkdir()
        pq.write_table(pa.table({"text": documents, "id": [str(n) for n in range(len(documents))]}), source)
        collected = collect(folder / "stages", source)
        rounds: dict[str, list[dict[str, float]]] = {"ours": [], "datatrove": []}
        for number in range(options.rounds + 1):  # the first round loads what is loaded once, and is not counted
            results = {
                "ours": measured(lambda n=number: ours(folder, collected, n), len(documents)),  # type: ignore[misc]
                "datatrove": measured(lambda: datatrove(folder / "datatrove", source), len(documents)),
            }
            print(number, {name: round(result["documentsPerCpuSecond"], 1) for name, result in results.items()})
            if number:
                for side, result in results.items():
                    rounds[side].append(result)
        small = peak_memory(folder / "small", options.memory_documents)
        large = peak_memory(folder / "large", options.memory_documents * 8)
    ratios = [a["documentsPerCpuSecond"] / b["documentsPerCpuSecond"] for a, b in zip(*rounds.values(), strict=True)]
    report = {
        "subject": "prepare: FineWeb quality rules, exact and MinHash deduplication, documents/s on one core",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": {
            "documents": len(documents),
            "meanBytes": sum(len(d.encode()) for d in documents) / len(documents),
        },
        "documentsPerCpuSecond": {side: summary(results) for side, results in rounds.items()},
        "ratio": {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)},
        "memory": [small, large],
        "rounds": rounds,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"prepare-{datetime.now(UTC):%Y%m%d}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({key: report[key] for key in ("documentsPerCpuSecond", "ratio", "memory")}, indent=1))
    print(f"written: {path}")


if __name__ == "__main__":
    main()
