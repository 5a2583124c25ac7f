"""Tokens per second of CPU time: our reader, webdataset's, MosaicML Streaming's, Megatron Energon's and plain memory-mapped
arrays, on the same tokens in page cache, in turns.

Like is compared with like: whole records with whole records (the three rivals), shuffled sequences with shuffled sequences.

    make bench-data
    .venv/bin/python benchmarks/data/run.py --mebibytes 128 --rounds 7 --output benchmarks/data/results/reader.json

MosaicML Streaming and Energon come into an environment that is thrown away; --rivals names the python of one that exists.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from datetime import UTC, datetime
from operator import truediv
from pathlib import Path

import corpus

HERE = Path(__file__).parent
RIVALS = ("mosaicml-streaming==0.13.0", "python-snappy", "cramjam", "zstd", "Brotli", "xxhash", "torchvision")
RIVALS += ("megatron-energon==7.4.1",)
ENERGON_NEEDS = ("braceexpand", "filetype", "mfusepy", "multi-storage-client", "rapidyaml")
PAIRS = {
    ("records", "webdataset"): 5.0,
    ("records", "mds"): 2.0,
    ("records", "energon"): 5.0,
    ("records", "memory_map_records"): 0.7,
    ("ours", "memory_map"): 0.7,
    ("ours", "webdataset"): None,
    ("ours", "mds"): None,
    ("ours", "energon"): None,
}
"""What is held against what, and the ratio aimed at. The last three: our shuffled batches against the rivals' records."""


def environment(folder: Path) -> Path:
    """A python with the rivals, which sees this environment's packages, too."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    # Without their dependencies: those are here, in the versions that ours is measured with.
    subprocess.run([uv, "pip", "install", "-q", "--no-deps", "--python", python, *RIVALS], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", python, *ENERGON_NEEDS], check=True)
    inside = next((folder / "lib").glob("python*/site-packages"))
    rooms = [str(HERE.parents[1] / room) for room in ("api", "operator", "trainer", "cli")]
    (inside / "ours.pth").write_text("\n".join([sysconfig.get_paths()["purelib"], *rooms]) + "\n")
    return python


class Contender:
    """A contender's process, which waits for its turns."""

    def __init__(self, python: Path, name: str, root: Path) -> None:
        command = [str(python), str(HERE / "contenders.py"), name, str(root)]
        own = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=own
        )
        self._line()

    def turn(self, seconds: float) -> float:
        """Tokens per second of CPU time."""
        assert self._process.stdin
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        done = self._line()
        return float(done["tokens"] / done["cpuSeconds"])

    def _line(self) -> dict[str, float]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self._process.args} ended without a figure")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Run the rounds and print, and write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=128, help="of tokens")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    parser.add_argument("--rivals", type=Path, help="python of an environment with the rivals")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        python = options.rivals or environment(root / "rivals")
        corpus.write_shards(root, options.mebibytes)
        convert = f"import corpus, pathlib; corpus.convert_for_rivals(pathlib.Path({str(root)!r}))"
        subprocess.run([python, "-c", convert], check=True, cwd=HERE, capture_output=True)
        names = ("ours", "reader", "memory_map", "records", "memory_map_records", "webdataset", "mds", "energon")
        contenders = {name: Contender(python, name, root) for name in names}
        rates: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name, contender in contenders.items():
                rates[name].append(contender.turn(options.seconds))
        for contender in contenders.values():
            contender.end()
    print("| contender | million tokens/s of CPU time (quartiles) |\n|---|---|")
    for name, values in rates.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"| {name} | {middle / 1e6:.0f} ({low / 1e6:.0f}-{high / 1e6:.0f}) |")
    # Of each round, so that what slows the machine slows both.
    ratios = {f"{a} : {b}": statistics.median(map(truediv, rates[a], rates[b])) for a, b in PAIRS}
    print("\n| ratio | measured | target |\n|---|---|---|")
    for (name, ratio), target in zip(ratios.items(), PAIRS.values(), strict=True):
        print(f"| {name} | {ratio:.2f} | {target or ''} |")
    if options.output:
        result = {
            "subject": "tokens per second of CPU time, local shards in page cache",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {
                "cpu": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
                "load": os.getloadavg(),
            },
            "rivals": RIVALS,
            "settings": {k: v for k, v in vars(options).items() if k not in ("output", "rivals")},
            "ratios": ratios,
            "tokensPerCpuSecond": rates,
        }
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
