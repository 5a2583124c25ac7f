"""What it costs a training to be watched by Prometheus: the same training with and without meters, step by step in turns.

    .venv/bin/python benchmarks/train/watched.py --output benchmarks/train/results/watched.json

Two processes take turns, so that both meet the same noise of the machine; each pair of steps gives a ratio of seconds and one
of processor time. What the meters do in a step is also timed alone, a thousand steps in a row, which no noise of a step hides.
"""

import argparse
import contextlib
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
from baton import Contender
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


def main() -> None:
    """Run the rounds and print, and write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    settings = Namespace(
        objective="causalLM", preset="", vocab_size=4096, precision="fp32", sequence_length=256, batch=4,
        micro_batch=2, steps=options.steps,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root, meters = Path(folder, "run"), Path(folder, "meters")
        meters.mkdir()
        corpus.write(root, settings.vocab_size, settings.sequence_length, settings.batch * (settings.steps + 1))
        contenders = {}
        for name, prefix in (("plain", []), ("watched", ["env", f"{ENV_FOLDER}={meters}"])):
            file = write_job(root, settings, name, "none")
            command = [*prefix, sys.executable, str(HERE / "ours.py"), str(file), corpus.ENCODE, corpus.TOKENIZER]
            contenders[name] = stack.enter_context(Contender(command))
        for step in range(settings.steps):
            # Who begins alternates, so that neither always finds warm caches.
            order = list(contenders) if step % 2 else list(reversed(contenders))
            for name in order:
                contenders[name].turn()
        assert list(meters.glob("*.db")), "nothing was measured"
        own = alone(str(meters), settings.batch // settings.micro_batch)
    seconds = {name: contender.seconds[WARM_STEPS:] for name, contender in contenders.items()}
    processor_seconds = {name: contender.cpu_seconds[WARM_STEPS:] for name, contender in contenders.items()}
    assert contenders["plain"].losses == contenders["watched"].losses, "meters changed the training"
    usual = statistics.median(seconds["plain"])
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "loadAverage": os.getloadavg()[0]},
        "versions": {name: version(name) for name in ("torch", "prometheus-client")},
        "settings": vars(settings),
        "secondsPerStep": {name: quartiles(each) for name, each in seconds.items()},
        "ratio": quartiles([a / b for a, b in zip(seconds["watched"], seconds["plain"], strict=True)]),
        "cpuTimeRatio": quartiles(
            [a / b for a, b in zip(processor_seconds["watched"], processor_seconds["plain"], strict=True)]
        ),
        "metersAloneSeconds": own,
        "metersAloneRatioOfStep": own["median"] / usual,
    }
    print(json.dumps({k: v for k, v in result.items() if k not in ("settings", "versions")}, indent=1))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
