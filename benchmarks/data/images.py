"""Images per second: records read at random and decoded by threads of ours, webdataset with as many worker processes, and
decoding and cutting alone, from memory, by as many threads or processes. In turns; JPEGs of about 256 px to crops of 224.

    .venv/bin/python benchmarks/data/images.py --output benchmarks/data/results/images.json

Both loaders give batches of 64 crops and labels, cut by the same function, for ever; what is decoded ahead before a turn's
clock starts does not count. The JPEGs are synthetic: smooth noise of several scales, polygons, grain; quality 90.
"""

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from operator import truediv
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image, ImageDraw, features

from pretrain_trainer.data.foreign import SampleShards
from pretrain_trainer.data.images import CROP_DRAWS, decoded, random_resized_crop
from pretrain_trainer.data.order import Mixture, MixtureSource, locate
from pretrain_trainer.objectives.draws import uniform

SEED, SIZE, BATCH = 5, 224, 64
SHARDS = 8
PAIRS = {
    ("ours", "webdataset"): 1.0,
    ("ours", "memory_threads"): None,
    ("ours", "memory_processes"): None,
    ("webdataset", "memory_processes"): None,
}
"""What is held against what, and the ratio aimed at."""


def photograph(rng: np.random.Generator) -> bytes:
    """A JPEG that takes a decoder about as long as a photograph does."""
    width, height = (int(side) for side in rng.integers(232, 281, 2))
    pixels = np.zeros((height, width, 3), dtype=np.float32)
    for cells in (3, 7, 17, 41):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        smooth = np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
        pixels += smooth * (2.2 / cells**0.5)
    image = Image.fromarray((255 * (pixels - pixels.min()) / np.ptp(pixels)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        corners = rng.integers(0, max(width, height), (int(rng.integers(3, 6)), 2))
        draw.polygon([tuple(corner) for corner in corners.tolist()], tuple(rng.integers(0, 256, 3).tolist()))
    grain = np.asarray(image, dtype=np.float32) + rng.normal(0, 4, (height, width, 1))
    out = io.BytesIO()
    Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def write_shards(root: Path, images: int) -> int:
    """Tars as webdataset writes them, with an index of ours; the bytes of the JPEGs."""
    import webdataset as wds

    rng, size = np.random.default_rng(SEED), 0
    with wds.ShardWriter(str(root / "%06d.tar"), maxcount=-(-images // SHARDS), verbose=0) as sink:
        for number in range(images):
            content = photograph(rng)
            size += len(content)
            sink.write({"__key__": f"{number:08d}", "jpg": content, "cls": int(rng.integers(1000))})
    pretrain = Path(sys.executable).with_name("pretrain")
    subprocess.run([pretrain, "index", str(root)], check=True, capture_output=True)
    return size


def ahead(executor: Executor, workers: int, job: Callable[[int], int]) -> Generator[int, None, None]:
    """What the job gives for 0, 1, 2 ..., two calls for each worker under way."""
    numbers, waiting = count(), deque[Future[int]]()
    while True:
        while len(waiting) < 2 * workers:
            waiting.append(executor.submit(job, next(numbers)))
        yield waiting.popleft().result()


def cut_draws(batch: int) -> np.ndarray:
    return uniform(SEED, 1, np.arange(batch * BATCH, (batch + 1) * BATCH), CROP_DRAWS)


def ours(root: Path, workers: int) -> Generator[int, None, None]:
    """Batches in the order of training, cut by what stands at each position of it."""
    shards = SampleShards(str(root / "manifest.json"))
    mixture = Mixture([MixtureSource(len(shards), 1.0, None, 1)], SEED)

    def batch(number: int) -> int:
        images, labels = np.empty((BATCH, SIZE, SIZE, 3), np.uint8), np.empty(BATCH, np.int64)
        _, _, records = locate(mixture, np.arange(number * BATCH, (number + 1) * BATCH))
        for place, (record, draws) in enumerate(zip(records.tolist(), cut_draws(number), strict=True)):
            members = shards.read(record).members
            images[place] = random_resized_crop(decoded(members["jpg"]), SIZE, draws)
            labels[place] = int(members["cls"])
        return len(images)

    with ThreadPoolExecutor(workers) as pool:
        yield from ahead(pool, workers, batch)


def webdataset(root: Path, workers: int) -> Generator[int, None, None]:
    """The stock library, as its documentation has it, with our function for the crop."""
    import webdataset as wds

    rng = np.random.default_rng(SEED)

    def crop(image: Image.Image) -> np.ndarray:
        return random_resized_crop(image, SIZE, rng.random(CROP_DRAWS))

    urls = sorted(str(path) for path in root.glob("*.tar"))
    dataset = wds.WebDataset(urls, shardshuffle=len(urls), seed=SEED).repeat().shuffle(1000).decode("pil")
    dataset = dataset.to_tuple("jpg", "cls").map_tuple(crop, int).batched(BATCH)
    for images, _ in wds.WebLoader(dataset, batch_size=None, num_workers=workers):
        yield len(images)


_PAYLOADS = list[bytes]()
"""Of the processes' bound: they are forks and find it as it is."""


def _decode_and_cut(number: int) -> int:
    for place, draws in enumerate(cut_draws(number)):
        random_resized_crop(decoded(_PAYLOADS[(number * BATCH + place) % len(_PAYLOADS)]), SIZE, draws)
    return BATCH


def _read_payloads(root: Path) -> None:
    shards = SampleShards(str(root / "manifest.json"))
    _PAYLOADS.extend(shards.read(number).members["jpg"] for number in range(len(shards)))


def memory_threads(root: Path, workers: int) -> Generator[int, None, None]:
    """Decoding and cutting by threads: nothing is read and no batch made."""
    _read_payloads(root)
    with ThreadPoolExecutor(workers) as pool:
        yield from ahead(pool, workers, _decode_and_cut)


def memory_processes(root: Path, workers: int) -> Generator[int, None, None]:
    """Decoding and cutting by processes: nothing is read, no batch made and none handed over."""
    _read_payloads(root)
    with ProcessPoolExecutor(workers) as pool:
        yield from ahead(pool, workers, _decode_and_cut)


CONTENDERS = {c.__name__: c for c in (ours, webdataset, memory_threads, memory_processes)}


def cpu_seconds() -> float:
    """Of this process and those that it started."""
    here = psutil.Process()
    times = [process.cpu_times() for process in (here, *here.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def contend(name: str, root: Path, workers: int) -> None:
    """Serve turns until stdin ends: for each line, so many seconds of batches."""
    batches = CONTENDERS[name](root, workers)
    next(batches)
    print(json.dumps({"ready": name}), flush=True)
    for line in sys.stdin:
        fresh = time.perf_counter() + 0.2 * float(line)
        while time.perf_counter() < fresh:  # what was made ahead while the others had their turns
            next(batches)
        images, began, cpu = 0, time.perf_counter(), cpu_seconds()
        while (seconds := time.perf_counter() - began) < float(line):
            images += next(batches)
        print(json.dumps({"images": images, "seconds": seconds, "cpuSeconds": cpu_seconds() - cpu}), flush=True)
    batches.close()  # which ends its workers


class Contender:
    """A contender's process, which waits for its turns."""

    def __init__(self, name: str, root: Path, workers: int) -> None:
        command = [sys.executable, __file__, "--contend", name, str(root), "--workers", str(workers)]
        own = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own)
        self._line()

    def turn(self, seconds: float) -> dict[str, float]:
        assert self._process.stdin
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise RuntimeError(f"{self._process.args} ended without a figure")

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def quartiles(values: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return {"lowerQuartile": low, "median": middle, "upperQuartile": high}


def measure(root: Path, rounds: int, seconds: float, workers: int) -> dict[str, list[dict[str, float]]]:
    """The turns of each contender, one of each in every round."""
    contenders = {name: Contender(name, root, workers) for name in CONTENDERS}
    for contender in contenders.values():
        contender.turn(seconds)  # fills buffers and caches, and is left out
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)
        for name in names if number % 2 == 0 else names[::-1]:
            turns[name].append(contenders[name].turn(seconds))
    for contender in contenders.values():
        contender.end()
    return turns


def main() -> None:
    """Run the rounds and print, and write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="threads of ours, processes of webdataset"
    )
    parser.add_argument("--output", type=Path)
    parser.add_argument("--contend", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contend:
        contend(options.contend[0], Path(options.contend[1]), options.workers)
        return
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        size = write_shards(Path(folder), options.images)
        turns = measure(Path(folder), options.rounds, options.seconds, options.workers)
    rates = {name: [turn["images"] / turn["seconds"] for turn in own] for name, own in turns.items()}
    costs = {name: [1e6 * turn["cpuSeconds"] / turn["images"] for turn in own] for name, own in turns.items()}
    print("| contender | images/s (quartiles) | CPU time of an image |\n|---|---|---|")
    for name, values in rates.items():
        found = quartiles(values)
        between = f"{found['lowerQuartile']:.0f}-{found['upperQuartile']:.0f}"
        print(f"| {name} | {found['median']:.0f} ({between}) | {statistics.median(costs[name]):.0f} us |")
    # Of each round, so that what slows the machine slows both.
    ratios = {f"{a} : {b}": quartiles(list(map(truediv, rates[a], rates[b]))) for a, b in PAIRS}
    print("\n| ratio | measured (quartiles) | target |\n|---|---|---|")
    for (name, ratio), target in zip(ratios.items(), PAIRS.values(), strict=True):
        between = f"{ratio['lowerQuartile']:.2f}-{ratio['upperQuartile']:.2f}"
        print(f"| {name} | {ratio['median']:.2f} ({between}) | {target or ''} |")
    if options.output:
        result = {
            "subject": "images per second: JPEGs of about 256 px in WebDataset tars in page cache to crops of 224 px",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": load},
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("pillow", "webdataset", "torch", "numpy")},
                "libjpeg-turbo": features.version("libjpeg_turbo"),
            },
            "settings": {k: v for k, v in vars(options).items() if k not in ("output", "contend")},
            "meanBytes": size / options.images,
            "targets": {f"{a} : {b}": target for (a, b), target in PAIRS.items() if target},
            "ratios": ratios,
            "imagesPerSecond": rates,
            "cpuMicrosecondsPerImage": costs,
        }
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
