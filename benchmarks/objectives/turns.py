"""Contenders that take turns step by step in one process on one thread, so that they meet the same noise of the machine, and what
comes of it. CPU time is compared: wall clocks of a machine that others use too say little."""

import io
import json
import os
import platform
import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits

WARM_STEPS = 2


def arguments(about: str, preset: str, batch: int, size: int) -> ArgumentParser:
    """Those that the contests have in common, with their defaults."""
    parser = ArgumentParser(description=about)
    parser.add_argument("--preset", default=preset)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--size", type=int, default=size, help="of images, in pixels")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--output", type=Path)
    return parser


def files(count: int) -> list[bytes]:
    """Digits as PNG of 64 px, in RGB."""
    found = []
    for levels in load_digits().images[:count]:
        file = io.BytesIO()
        Image.fromarray((levels * 15).astype("uint8")).resize((64, 64)).convert("RGB").save(file, "PNG")
        found.append(file.getvalue())
    return found


def contest(
    options: Namespace,
    ours: Callable[[Namespace, list[bytes]], Iterator[float]],
    rival: str,
    theirs: Callable[[Namespace, list[bytes]], Iterator[float]],
    packages: tuple[str, ...],
) -> None:
    """Let both make steps, each of which gives its loss; print and write the figures."""
    torch.set_num_threads(1)
    images = files(options.batch)
    contenders = {"ours": ours(options, images), rival: theirs(options, images)}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    losses: dict[str, list[float]] = {name: [] for name in contenders}
    for step in range(options.steps + WARM_STEPS):
        for name, contender in contenders.items():
            began = time.process_time()
            losses[name].append(next(contender))
            if step >= WARM_STEPS:
                seconds[name].append(time.process_time() - began)
        print(step + 1, {name: round(each[-1], 3) for name, each in seconds.items() if each}, flush=True)
    result = {**_facts(options, packages), **_figures(options.batch, seconds, rival), "losses": losses}
    print(json.dumps({k: result[k] for k in ("samplesPerCpuSecond", "cpuTimeRatio")}, indent=1))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n")


def _figures(batch: int, seconds: Mapping[str, list[float]], rival: str) -> dict[str, object]:
    ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds[rival], strict=True)]
    quartiles = zip(("lowerQuartile", "median", "upperQuartile"), statistics.quantiles(ratios), strict=True)
    return {
        "cpuSecondsPerStep": seconds,
        "samplesPerCpuSecond": {name: batch / statistics.median(each) for name, each in seconds.items()},
        "cpuTimeRatio": dict(quartiles),
    }


def _facts(options: Namespace, packages: tuple[str, ...]) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": 1,
            "loadAverage": os.getloadavg()[0],
        },
        "versions": {name: version(name) for name in ("torch", "torchvision", "transformers", "pillow", *packages)},
        "settings": {name: value for name, value in vars(options).items() if name != "output"},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
