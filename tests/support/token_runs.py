"""Training runs in a test's folder: token shards of sources that can be learnt, the job, and the stage program."""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
from pydantic import BaseModel
from support import zygote
from support.zygote import Forked
from tokenizers import Tokenizer, models

from pretrain_api import layout
from pretrain_api.recoveries import Recovery
from pretrain_api.shards import Manifest, Split
from pretrain_api.storage import Storage
from pretrain_trainer.data import shards as token_shards
from pretrain_trainer.tokenizer import CONFIG_FILE, TOKENIZER_FILE

Told = TypeVar("Told", bound=BaseModel)
VOCABULARY = 61
END_OF_TEXT, PADDING = 59, 60
LENGTH = 32
UPSTREAM = {"Tokenizer": "a" * 16, "Encode": "b" * 16}
TINY_LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


def documents(seed: int, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """A stream of counting documents (next = last + 1 or 2, wrapping), each with an end, and where each begins."""
    rng = np.random.default_rng(seed)
    parts, starts, total = [], [], 0
    while total < tokens:
        length = int(rng.integers(8, 40))
        counted = (rng.integers(0, END_OF_TEXT) + rng.integers(1, 3) * np.arange(length)) % END_OF_TEXT
        parts.append(np.append(counted, END_OF_TEXT))
        starts.append(total)
        total += length + 1
    return np.concatenate(parts)[:tokens].astype(np.uint16), np.array(starts, dtype=np.uint32)


def write_source(
    storage: Storage,
    name: str,
    seed: int,
    train: int = 200,
    validation: int = 8,
    *,
    samples_per_record: int | None = None,
    shards: int = 1,
) -> None:
    """Shards of so many sequences in each split: one record of all of them, or records of a size in several shards."""
    folder = layout.shards(UPSTREAM["Encode"], name)
    splits = {}
    for split, samples, prefix in (("train", train, ""), ("validation", validation, "validation/")):
        stream, starts = documents(seed * 2 + (split == "validation"), samples * (LENGTH + 1))
        block = stream.reshape(samples, LENGTH + 1)
        per_record = min(samples_per_record or samples, samples)
        valid = block.size - (7 if samples_per_record else 0)  # the split's end is padded
        block.reshape(-1)[valid:] = PADDING
        numbers = np.array_split(np.arange(-(-samples // per_record)), shards if split == "train" else 1)
        described = []
        for shard, records in enumerate(numbers):
            with storage.create(f"{folder}/{prefix}{shard:06d}.tar") as file:
                writer = token_shards.ShardWriter(file)
                for record in records.tolist():
                    rows = block[record * per_record : (record + 1) * per_record]
                    first = record * per_record * block.shape[1]
                    end = min(first + rows.size, valid)
                    begin = starts[(starts >= first) & (starts < end)] - np.uint32(first)
                    writer.write(record, rows, begin, end - first)
                index, size, sha256 = writer.close()
            token_shards.publish_index(storage, f"{folder}/{prefix}".rstrip("/"), shard, index)
            described.append(token_shards.described(prefix, shard, index, size, sha256))
        splits[split] = Split(shards=described, samples=samples, tokens=valid, documents=len(starts), text_bytes=valid)
    manifest = Manifest(
        fingerprint=UPSTREAM["Encode"],
        source=name,
        sequence_length=LENGTH,
        samples_per_record=min(samples_per_record or train, train),
        dtype="uint16",
        vocab_size=VOCABULARY,
        tokenizer_sha256="0" * 64,
        end_of_text=END_OF_TEXT,
        padding=PADDING,
        **splits,
    )
    storage.write_json(f"{folder}/{layout.MANIFEST}", manifest.model_dump(mode="json"))


def write_tokenizer(storage: Storage) -> None:
    """That of the tokens: each is a word of its own, and two of them mark the end of a text and fill rows up."""
    words = {f"t{token}": token for token in range(VOCABULARY)}
    folder, model = layout.tokenizer(UPSTREAM["Tokenizer"]), models.WordLevel(words, unk_token="t0")
    named = {"eos_token": f"t{END_OF_TEXT}", "pad_token": f"t{PADDING}"}
    storage.write_bytes(f"{folder}/{TOKENIZER_FILE}", Tokenizer(model).to_str().encode())
    storage.write_json(f"{folder}/{CONFIG_FILE}", {"tokenizer_class": "PreTrainedTokenizerFast", **named})


def a_job(root: Path, *, sources: tuple[str, ...] = ("even", "odd"), model: Any = None, **training: Any) -> dict:
    """A job whose Encode stage is done."""
    storage = Storage(str(root))
    write_tokenizer(storage)
    for number, name in enumerate(sources):
        if not storage.exists(f"{layout.shards(UPSTREAM['Encode'], name)}/{layout.MANIFEST}"):
            write_source(storage, name, seed=number)
    return {
        "apiVersion": "pretrain.dev/v1alpha1",
        "kind": "PretrainJob",
        "metadata": {"name": "tiny"},
        "spec": {
            "storage": {"uri": str(root)},
            "data": {"sources": [{"name": n, "documents": "unused", "weight": i + 1} for i, n in enumerate(sources)]},
            "tokenizer": {"train": {"vocabSize": 300}},
            "model": {"config": model or TINY_LLAMA},
            "objective": {"causalLM": {}},
            "training": {
                "sequenceLength": LENGTH,
                "globalBatchSize": 6,
                "microBatchSize": 2,
                "steps": 12,
                "precision": "fp32",
                "optimizer": {"adamw": {"learningRate": 1e-2}},
                "schedule": {"warmupSteps": 2},
                **training,
            },
            "checkpoint": {"everySeconds": 1, "keepLast": 3, "keepEverySteps": 0},
            "evaluation": {"everySteps": 0},
        },
    }


def start(root: Path, job: dict[str, Any], ranks: int = 1, **environment: str) -> Forked:
    """The Train stage of the job, under an agent, in a session of its own. Its log is `<root>/train.log`."""
    return start_agent(root, job, ["--ranks", str(ranks)], **environment)


def start_agent(
    root: Path, job: dict[str, Any], own_arguments: Sequence[str], inherited: Sequence[int] = (), **environment: str
) -> Forked:
    """The same with arguments of the agent; log, outcome and events lie in the folder."""
    path = root / "job.json"
    path.write_text(json.dumps(job))
    arguments = [*own_arguments, "--", "--stage", "Train", "--job", str(path)]
    for stage, fingerprint in UPSTREAM.items():
        arguments += ["--upstream", f"{stage}={fingerprint}"]
    outcome = root / "outcome.json"
    outcome.unlink(missing_ok=True)
    own = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PRETRAIN_OUTCOME": str(outcome),
        "PRETRAIN_EVENTS": str(root / "events.jsonl"),
        **environment,
    }
    with open(root / "train.log", "ab") as log:
        return zygote.start("pretrain_trainer.agent.program", arguments, own, log, inherited)


def ranks_of(agent: Forked) -> list[psutil.Process]:
    """The processes that train under an agent, by rank; one that ends meanwhile may be missing."""
    found = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(agent.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                found[process.name()] = process
    return [process for name, process in sorted(found.items()) if name.startswith("rank ")]


def outcome(root: Path) -> dict[str, Any]:
    return json.loads((root / "outcome.json").read_text())


def record(root: Path) -> dict[str, Any]:
    """The completion record of the one finished training in the folder."""
    (path,) = (root / "stages" / "train").glob("*.json")
    return json.loads(path.read_text())


def commits(root: Path) -> list[dict[str, Any]]:
    """Of the log, oldest first."""
    records = [json.loads(path.read_text()) for path in sorted((root / layout.COMMIT_LOG).glob("*.json"))]
    return [record for record in records if record["kind"] == "commit"]


def losses(root: Path) -> dict[int, float]:
    """Loss by step; later commits override overlapping steps."""
    found: dict[int, float] = {}
    for commit in commits(root):
        if commit["history"]:
            for line in (root / commit["history"]).read_text().splitlines():
                figures = json.loads(line)
                found[figures["step"]] = figures["loss"]
    return found


def steps_done(root: Path) -> int:
    """The newest step that the running stage has told of."""
    try:
        lines = (root / "events.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return int(max((json.loads(line)["done"] for line in lines), default=0))


def recoveries(root: Path) -> list[Recovery]:
    """What the agent told of, in order."""
    return told(root, "recovery", Recovery)


def told(root: Path, what: str, kind: type[Told]) -> list[Told]:
    """What was told in a field of the events, in order."""
    try:
        events = [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        return []
    return [kind.model_validate(event[what]) for event in events if event[what]]


def kill_everything(process: Forked) -> None:
    """SIGKILL the agent and its ranks at once."""
    for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        one.kill()
    process.wait()
