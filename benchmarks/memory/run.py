"""Memory of Collect, Prepare, Tokenizer and Encode on a large corpus: peak of the process tree's proportional set size.

    .venv/bin/python benchmarks/memory/run.py --bytes 2000000000

The corpus is made of lines of the standard library's sources and of the manual in pydoc_data, drawn at random, with some
words changed, so that few documents resemble each other; one document in twenty is a copy of an earlier one. Every
program is started as `pretrain run` starts it. Target: Prepare and Encode at most 1 GiB, at any size of the corpus.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import random
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from pretrain_api.stages import UPSTREAM, Stage
from pretrain_api.types import PretrainJob

TARGET_BYTES = 1 << 30
STAGES = (Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE)
FILE_BYTES = 100 << 20


def lines() -> list[str]:
    """Distinct lines to make documents of."""
    from pydoc_data import topics

    found = {line for text in topics.topics.values() for line in text.splitlines()}
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))[:1500]:
        found.update(path.read_text(encoding="utf-8", errors="ignore").splitlines())
    return sorted(line for line in found if len(line) > 20)


def write_corpus(folder: Path, size: int, seed: int = 1) -> int:
    """Files of jsonl with `size` bytes of text in all; the number of documents."""
    pool, rng = lines(), random.Random(seed)
    earlier: list[str] = []
    written = documents = files = 0
    while written < size:
        with (folder / f"{files:04d}.jsonl").open("w", encoding="utf-8") as file:
            begin = written
            while written < size and written - begin < FILE_BYTES:
                if earlier and rng.random() < 0.05:
                    text = rng.choice(earlier)
                else:
                    chosen = rng.choices(pool, k=rng.randint(20, 250))
                    chosen[0] += f" {rng.getrandbits(64):x}"
                    text = "\n".join(chosen)
                    if len(earlier) < 1000:
                        earlier.append(text)
                file.write(json.dumps({"text": text}) + "\n")
                written += len(text.encode())
                documents += 1
        files += 1
    return documents


class Watch:
    """Samples the memory of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = self.peak_processes = 0
        self.phases: list[tuple[float, int]] = []
        self._process, self._ended, self._began = psutil.Process(pid), threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        while not self._ended.wait(0.25):
            try:
                processes = [self._process, *self._process.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            total = 0
            for process in processes:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.phases.append((round(time.monotonic() - self._began, 1), total))
            if total > self.peak_bytes:
                self.peak_bytes, self.peak_processes = total, len(processes)

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def run_stage(stage: Stage, job_file: Path, upstream: dict[Stage, str], outcome: Path) -> tuple[str, dict[str, Any]]:
    """Run a stage; its identity and its figures."""
    command = [sys.executable, "-m", "pretrain_trainer", "--stage", stage, "--job", str(job_file)]
    for name in UPSTREAM[stage]:
        command += ["--upstream", f"{name}={upstream[name]}"]
    outcome.unlink(missing_ok=True)
    began = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | {"PRETRAIN_OUTCOME": str(outcome)})
    watch = Watch(process.pid)
    code = process.wait()
    watch.stop()
    if code:
        raise SystemExit(f"{stage} ended with {code}: {outcome.read_text() if outcome.exists() else ''}")
    told = json.loads(outcome.read_text())
    every = max(1, len(watch.phases) // 60)
    figures = {
        "peakBytes": watch.peak_bytes,
        "peakProcesses": watch.peak_processes,
        "seconds": round(time.monotonic() - began, 1),
        "message": told["message"],
        "secondsAndBytes": watch.phases[::every],
    }
    return told["fingerprint"], figures


def machine() -> dict[str, Any]:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    packages = ("tokenizers", "pyarrow", "xxhash", "numpy")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memoryBytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=2_000_000_000, help="text of the corpus")
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the corpus and the run go, some three times --bytes")
    parser.add_argument("--result", type=Path, default=Path(__file__).parent / "results" / "memory.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        (folder / "corpus").mkdir()
        documents = write_corpus(folder / "corpus", options.bytes)
        job = PretrainJob.model_validate(
            {
                "metadata": {"name": "memory"},
                "spec": {
                    "storage": {"uri": str(folder / "run")},
                    "data": {
                        "sources": [{"name": "text", "documents": str(folder / "corpus/*.jsonl")}],
                        "prepare": {
                            "deduplicate": {"exact": {}, "minhash": {}},
                            "parallelism": options.parallelism,
                        },
                    },
                    "tokenizer": {"train": {"vocabSize": 16384, "sampleBytes": 32 << 20}},
                    "model": {"preset": "llama-tiny"},
                    "objective": {"causalLM": {}},
                    "training": {"sequenceLength": 2048, "steps": 1},
                },
            }
        )
        (folder / "job.json").write_text(job.model_dump_json(by_alias=True, exclude_none=True))
        identities: dict[Stage, str] = {}
        stages: dict[str, Any] = {}
        for stage in STAGES:
            identities[stage], stages[stage] = run_stage(
                stage, folder / "job.json", identities, folder / "outcome.json"
            )
            print(f"{stage}: {stages[stage]['peakBytes'] / 2**20:.0f} MiB, {stages[stage]['seconds']} s", flush=True)
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "settings": {"bytes": options.bytes, "documents": documents, "parallelism": options.parallelism},
        "targetBytes": TARGET_BYTES,
        "reached": all(stages[stage]["peakBytes"] <= TARGET_BYTES for stage in (Stage.PREPARE, Stage.ENCODE)),
        "stages": stages,
    }
    options.result.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {options.result}; target {'reached' if result['reached'] else 'missed'}")


if __name__ == "__main__":
    main()
