"""What features are good for: runs an example of an objective of images with several seeds, on emoji and on digits, and tables
k-NN and linear accuracy on held-out images beside random weights and raw pixels. `python examples/images.py` comes first.

    python benchmarks/objectives/probes.py examples/dino.yaml --output benchmarks/objectives/results/dino-probes.json

The CPU time is that of the whole run; six minutes on two cores are 720 s of it.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ("knnAccuracy", "linearAccuracy")


def run(example: Path, source: str, images: Path, seed: int) -> dict[str, Any]:
    """The figures of the source, with the CPU seconds that they took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        sets = (
            f"spec.storage.uri={folder}/run",
            f"spec.data.sources=[{{name: {source}, shards: {images.resolve()}/{source}/manifest.json}}]",
            f"spec.training.seed={seed}",
        )
        command = [
            Path(sys.executable).parent / "pretrain",
            "run",
            example,
            *(word for one in sets for word in ("--set", one)),
        ]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        found = json.loads(Path(folder, "run/report/report.json").read_text())["evaluation"][source]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    baselines = found["baselines"]
    result = {"seed": seed, "cpuSeconds": round(cpu), "images": found["images"]}
    for name in FIGURES:
        rest = name[0].upper() + name[1:]
        result[name] = {
            "learnt": found[name],
            **{who: baselines[f"{who}{rest}"] for who in ("random", "pixels")},
        }
    return result


def main() -> None:
    """Run, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", type=Path)
    parser.add_argument("--images", type=Path, default=Path("runs/images"))
    parser.add_argument("--sources", nargs="*", default=["emoji", "digits"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    table: dict[str, list[dict[str, Any]]] = {}
    for source in options.sources:
        table[source] = []
        for seed in range(options.seeds):
            table[source].append(run(options.example.resolve(), source, options.images, seed))
            print(source, json.dumps(table[source][-1]), flush=True)
        for name in FIGURES:
            means = {who: statistics.mean(row[name][who] for row in table[source]) for who in table[source][0][name]}
            print(source, name, {who: round(value, 3) for who, value in means.items()}, flush=True)
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "transformers", "scikit-learn", "pillow")},
        "job": yaml.safe_load(options.example.read_text())["spec"],
        "table": table,
    }
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
