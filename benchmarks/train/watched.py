"""What it costs a training to be watched by Prometheus: one training, with meters in every other step.

    .venv/bin/python benchmarks/train/watched.py --output benchmarks/train/results/watched.json

Each pair of steps gives a ratio of seconds and one of processor time. Both are of the same process: of two that run the same
program one is up to 3 % quicker, whichever has the meters. Steps are short and many: that makes the meters' share bigger
than it is in a training, and its estimate surer. What the meters do in a step is also timed alone, a thousand steps in a row,
which no noise of a step hides. That they change nothing of a training is tested: pods, which are watched, make the same
parameters as a run that is not (tests/cluster/test_pipeline.py).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import corpus
import numpy as np
from run import HERE, WARM_STEPS, processor, quartiles, write_job

from pretrain_api.metrics import ENV_FOLDER

_ALONE = """
import sys, time, types
import torch
from pretrain_api.ledger import StepRead
from pretrain_api.types.model import Objective
from pretrain_trainer.training.history import StepFigures
from pretrain_trainer.training.watched import Watched
watch = Watched(("default", "benchmark"), 0, 1, torch.device("cpu"))
read = StepRead(samples=(0, 1), segment=0, taken={}, digests=())
figures = StepFigures(1, 2.0, 64, 0.1, 1.0, 1e3, 0.1, 0.001, False, {"a": 2.0, "b": 2.0}, read)
told = {"loss": 2.0, "gradientNorm": 1.0, "learningRate": 0.1, "tokensPerSecond": 1e3, "slowTimes": 1.0}
settings = types.SimpleNamespace(global_batch_size=1, sequence_length=64)
objective = Objective.model_validate({"causalLM": {}})
training = types.SimpleNamespace(reading=None, checkpoints=types.SimpleNamespace(written=[]),
                                 spec=types.SimpleNamespace(training=settings, objective=objective))
def step():
    for phase in ("collective", "collective", "collective", "optimizer", *["forward", "backward"] * int(sys.argv[1])):
        with watch.at(phase):
            pass
    watch.stepped(training, figures, told)
for _ in range(100):
    step()
times = []
for _ in range(1000):
    began = time.process_time()
    step()
    times.append(time.process_time() - began)
print(*times)
"""


def alone(folder: str, micro_batches: int) -> dict[str, float]:
    """Quartiles of the seconds of processor time that the meters take in a step."""
    command = [sys.executable, "-c", _ALONE, str(micro_batches)]
    done = subprocess.run(
        command, env={**os.environ, ENV_FOLDER: folder}, check=True, stdout=subprocess.PIPE, text=True
    )
    return quartiles([float(each) for each in done.stdout.split()])


def ratios(taken: dict[str, list[float]]) -> dict[str, float]:
    """Quartiles of the pairs' ratios, and between what the median is in 95 of 100 drawings of as many pairs (bootstrap)."""
    pairs = np.array(taken["watched"][WARM_STEPS:]) / np.array(taken["plain"][WARM_STEPS:])
    drawn = np.random.default_rng(0).choice(pairs, (2000, len(pairs)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return quartiles(pairs.tolist()) | {"medianFrom": float(low), "medianTo": float(high)}


def main() -> None:
    """Run the rounds and print, and write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    settings = Namespace(
        objective="causalLM", preset="", vocab_size=4096, precision="fp32", sequence_length=64, batch=2,
        micro_batch=1, steps=2 * options.pairs - 1,  # one more is done
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        root, meters = Path(folder, "run"), Path(folder, "meters")
        meters.mkdir()
        corpus.write(root, settings.vocab_size, settings.sequence_length, settings.batch * (settings.steps + 1))
        file = write_job(root, settings, "watched", "none")
        command = [sys.executable, str(HERE / "alternating.py"), str(file), corpus.ENCODE, corpus.TOKENIZER]
        environment = {**os.environ, ENV_FOLDER: str(meters)}
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        taken = json.loads(done.stdout)
        assert list(meters.glob("*.db")), "nothing was measured"
        own = alone(str(meters), settings.batch // settings.micro_batch)
    usual = statistics.median(taken["seconds"]["plain"])
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "loadAverage": os.getloadavg()[0]},
        "versions": {name: version(name) for name in ("torch", "prometheus-client")},
        "settings": vars(settings),
        "secondsPerStep": {name: quartiles(each) for name, each in taken["seconds"].items()},
        "ratio": ratios(taken["seconds"]),
        "cpuTimeRatio": ratios(taken["cpuSeconds"]),
        "metersAloneSeconds": own,
        "metersAloneRatioOfStep": own["median"] / usual,
    }
    print(json.dumps({k: v for k, v in result.items() if k not in ("settings", "versions")}, indent=1))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
