"""What the features of an example are good for, over several seeds: k-NN and linear probes beside random weights and raw pixels.

    python benchmarks/objectives/evaluation.py examples/simclr.yaml --output benchmarks/objectives/results/simclr-evaluation.json

Runs the job once for each seed, in folders below --runs; what is finished there is not run again. The images of
`python examples/images.py` must be where the job looks for them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def run(job: Path, seed: int, folder: Path, sets: list[str]) -> None:
    """Train, evaluate and report."""
    own = [f"spec.storage.uri={folder}", f"spec.training.seed={seed}", *sets]
    command = [str(Path(sys.executable).with_name("pretrain")), "run", str(job)]
    subprocess.run([*command, *(part for each in own for part in ("--set", each))], check=True)


def figures(folder: Path) -> dict[str, Any]:
    """Evaluation by source of a finished run."""
    found: dict[str, Any] = json.loads((folder / "report" / "report.json").read_text())["evaluation"]
    return found


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def table(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Accuracies of all seeds by source, with their baselines."""
    found: dict[str, Any] = {}
    for source in runs[0]["evaluation"]:
        each = [one["evaluation"][source] for one in runs]
        found[source] = {name: spread([one[name] for one in each]) for name in ("knnAccuracy", "linearAccuracy")}
        found[source] |= {
            name: spread([one["baselines"][name] for one in each])
            for name, value in each[0]["baselines"].items()
            if value is not None
        }
    return found


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    """Run all seeds; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/evaluation"))
    parser.add_argument("--set", action="append", default=[], help="as of pretrain run")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    runs = []
    for seed in options.seeds:
        folder = options.runs / f"{options.job.stem}-{seed}"
        run(options.job, seed, folder, options.set)
        runs.append({"seed": seed, "evaluation": figures(folder)})
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "torchvision", "transformers", "scikit-learn")},
        "settings": {"job": options.job.read_text(), "set": options.set},
        "table": table(runs),
        "runs": runs,
    }
    print(json.dumps(result["table"], indent=1))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
