"""Records and megabytes per second of indexing WebDataset tars: `pretrain index`, which reads and hashes every byte, `pretrain
index --check`, which reads headers, and the library behind Megatron Energon's `energon prepare`; one process each, tars in page
cache, in turns. SHA-256 and CRC-32C of the same files alone are what nobody who promises checksums can do without.

    .venv/bin/python benchmarks/data/indexing.py --output benchmarks/data/results/indexing.json

Energon comes into an environment that is thrown away; --rivals names the python of one that exists.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from operator import truediv
from pathlib import Path

import numpy as np

TARS = 4
SETS = {"captioned images": 22_000, "texts": 1_500, "large records": 1_000_000}
"""Bytes of a record's first member; a caption of 60 bytes and a JSON of 120 stand beside it."""
SET_BYTES = 64 << 20
PAIRS = (("ours", "hashing"), ("ours", "energon"), ("check", "energon"))
"""What is held against what, in each round."""


def write_tars(folder: Path, size: int) -> int:
    """Tars of random bytes under the names of images, with captions; the number of their records."""
    folder.mkdir()
    rng, records = np.random.default_rng(1), SET_BYTES // (size + 2560)
    for number in range(TARS):
        with tarfile.open(folder / f"{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for record in range(number * records // TARS, (number + 1) * records // TARS):
                length = int(size * rng.uniform(0.8, 1.2))
                for ending, content in (
                    ("jpg", rng.bytes(length)),
                    ("json", b"{" + b" " * 118 + b"}"),
                    ("txt", b"c" * 60),
                ):
                    member = tarfile.TarInfo(f"{record:08d}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, BytesIO(content))
    return records


class _Patient:
    def check_stopping(self) -> None:
        """Nobody stops it."""


def ours(folder: Path) -> None:
    """Everything that `pretrain index` does, from nothing."""
    from pretrain_trainer.indexing import places, work

    for file in (*folder.glob("*.idx"), folder / "manifest.json"):
        file.unlink(missing_ok=True)
    _, faults = work.index(places.find([str(folder)], ""), "", 1, "", _Patient())
    assert not faults


def check(folder: Path) -> None:
    """`pretrain index --check` of what `ours` has left."""
    from pretrain_trainer.indexing import checking, places

    assert checking.differences(places.find([str(folder)], ""), "", 1, _Patient()) == []


def hashing(folder: Path) -> None:
    """SHA-256 and CRC-32C of the files, and nothing else."""
    import google_crc32c

    for path in sorted(folder.glob("*.tar")):
        digest, checksum = hashlib.sha256(), 0
        with path.open("rb") as file:
            while part := file.read(4 << 20):
                digest.update(part)
                checksum = google_crc32c.extend(checksum, part)


def energon(folder: Path) -> None:
    """`energon prepare` with one worker."""
    from megatron.energon.flavors import BaseWebdatasetFactory

    shutil.rmtree(folder / ".nv-meta", ignore_errors=True)
    for file in folder.glob("*.tar.idx"):
        file.unlink()
    with contextlib.redirect_stdout(sys.stderr):
        tars = sorted(path.name for path in folder.glob("*.tar"))
        BaseWebdatasetFactory.prepare_dataset(folder, tars, split_parts_ratio=[("train", 1.0)], workers=1)


CONTENDERS: dict[str, Callable[[Path], None]] = {c.__name__: c for c in (ours, check, hashing, energon)}


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def serve(name: str) -> None:
    """For each folder on stdin, the seconds of CPU time that its indexing took."""
    print(json.dumps({"ready": name}), flush=True)
    for line in sys.stdin:
        before = cpu_seconds()
        CONTENDERS[name](Path(line.strip()))
        print(json.dumps({"cpuSeconds": cpu_seconds() - before}), flush=True)


class Contender:
    """A contender's process, which has its libraries loaded."""

    def __init__(self, python: Path, name: str) -> None:
        own = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [python, __file__, "--serve", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._line()

    def turn(self, folder: Path) -> float:
        """Seconds of CPU time that one indexing took."""
        assert self._process.stdin
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        return self._line()["cpuSeconds"]

    def _line(self) -> dict[str, float]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self._process.args} ended without a figure")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def contenders(python: Path) -> Iterator[dict[str, Contender]]:
    """All of them, at once."""
    made = {name: Contender(python, name) for name in CONTENDERS}
    yield made
    for contender in made.values():
        contender.end()


def main() -> None:
    """Take the turns, print and write the figures."""
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rivals", type=Path, help="python of an environment with Energon")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.rivals is None:
            import run

            options.rivals = run.environment(root / "rivals")
        records = {name: write_tars(root / name.replace(" ", "-"), size) for name, size in SETS.items()}
        taken: dict[str, dict[str, list[float]]] = {}
        with contenders(options.rivals) as processes:
            for name in SETS:
                place, taken[name] = root / name.replace(" ", "-"), {each: [] for each in processes}
                for turn in range(options.rounds + 1):
                    for each, process in processes.items():
                        seconds = process.turn(place)
                        if turn:  # the first one fills the page cache
                            taken[name][each].append(seconds)
        sizes = {name: sum(p.stat().st_size for p in (root / name.replace(" ", "-")).glob("*.tar")) for name in SETS}
    figures = {}
    print("| tars | contender | records/s of CPU time | MB/s (quartiles) |\n|---|---|---|---|")
    for name, by_contender in taken.items():
        figures[name] = {"records": records[name], "bytes": sizes[name], "contenders": {}, "ratios": {}}
        for each, seconds in by_contender.items():
            low, middle, high = statistics.quantiles([sizes[name] / 1e6 / s for s in seconds], n=4)
            rate = statistics.median(records[name] / s for s in seconds)
            figures[name]["contenders"][each] = {"recordsPerSecond": rate, "megabytesPerSecond": [low, middle, high]}
            print(f"| {name} | {each} | {rate:,.0f} | {middle:,.0f} ({low:,.0f}-{high:,.0f}) |")
        for a, b in PAIRS:
            figures[name]["ratios"][f"{a} : {b}"] = statistics.median(map(truediv, by_contender[b], by_contender[a]))
    print("\n| tars | ratio of rates | measured |\n|---|---|---|")
    for name, found in figures.items():
        for pair, ratio in found["ratios"].items():
            print(f"| {name} | {pair} | {ratio:.2f} |")
    if options.output:
        result = {
            "subject": "indexing WebDataset tars in page cache, one process, per second of CPU time",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()},
            "versions": {
                "python": platform.python_version(),
                "numpy": version("numpy"),
                "google-crc32c": version("google-crc32c"),
                "megatron-energon": "7.4.1",
            },
            "settings": {"tars": TARS, "setBytes": SET_BYTES, "rounds": options.rounds},
            "sets": figures,
            "cpuSeconds": taken,
        }
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
