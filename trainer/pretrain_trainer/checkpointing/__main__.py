"""`python -m pretrain_trainer.checkpointing list|verify|diff|prune|convert --storage URI`: behind `pretrain checkpoints`."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK
from pretrain_api.nouns import counted
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer import early
from pretrain_trainer.checkpointing import catalogue
from pretrain_trainer.checkpointing.catalogue import Entry
from pretrain_trainer.checkpointing.target import Target
from pretrain_trainer.command_program import FORMS, answer, document, exit_code, on_storage
from pretrain_trainer.terminal import Bar
from pretrain_trainer.training import collection
from pretrain_trainer.training.payload_files import (
    CorruptCheckpoint,
    OtherVersion,
    read_manifest,
    remove_payload,
    verify,
)

_TENSORS_TOLD = 10


def main() -> int:
    """Do what is asked and return the exit code."""
    options = _parser().parse_args()
    work = {"list": _list, "verify": _verify, "diff": _diff, "prune": _prune, "convert": _convert}[options.what]
    return exit_code(lambda: on_storage(options.storage, options.endpoint_url, lambda storage: work(storage, options)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.checkpointing", description=__doc__)
    programs = parser.add_subparsers(dest="what", required=True)
    for name in ("list", "verify", "diff", "prune", "convert"):
        program = programs.add_parser(name)
        program.add_argument("--storage", required=True, help="the run's spec.storage.uri")
        program.add_argument("--endpoint-url", default="", help="the run's spec.storage.endpointUrl")
        program.add_argument("--output", choices=FORMS, default="text")
        if name == "list":
            program.add_argument("--all", action="store_true", help="also those that were removed")
        if name in ("verify", "convert"):
            program.add_argument("--step", type=int)
        if name == "diff":
            program.add_argument("steps", type=int, nargs=2)
        if name == "prune":
            program.add_argument("--keep-last", type=int, required=True)
            program.add_argument("--keep-every-steps", type=int, default=0)
            program.add_argument("--yes", action="store_true", help="remove them, not only say which")
        if name == "convert":
            program.add_argument("--to", choices=["huggingface", "dcp"], required=True)
            program.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
            program.add_argument("--job", type=Path, help="the job as JSON; else the one that the run recorded")
            program.add_argument("target")
    return parser


def _list(storage: Storage, options: argparse.Namespace) -> int:
    found = catalogue.entries(storage)
    shown = [entry for entry in found if options.all or entry.state != "removed"]
    if options.output != "text":
        answer([document([entry.as_json() for entry in shown], options.output)])
        return EXIT_OK
    rows: list[tuple[str, ...]] = [("STEP", "SAMPLES", "TOKENS", "START", "COMMITTED", "SIZE", "STATE")]
    rows += [_row(entry) for entry in shown]
    answer(_aligned(rows))
    if hidden := len(found) - len(shown):
        answer([f"and {counted(hidden, 'commit')} whose checkpoint was removed; --all shows them"])
    return EXIT_OK


def _row(entry: Entry) -> tuple[str, ...]:
    of = entry.commit
    state = f"{entry.state}: {entry.reason}" if entry.reason else entry.state
    size = f"{entry.bytes / 1e6:,.1f} MB" if entry.bytes else ""
    time = of.time.strftime("%Y-%m-%d %H:%M:%SZ")
    is_final = ", final" if of.final else ""
    return (f"{of.step:,}", f"{of.samples:,}", f"{of.tokens:,}", str(of.generation), time, size, state + is_final)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns side by side: the first four and the size to the right, as numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in (4, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _verify(storage: Storage, options: argparse.Namespace) -> int:
    found = catalogue.entries(storage)
    asked = [entry for entry in found if entry.state != "removed"]
    if options.step is not None:
        asked = [entry for entry in asked if entry.commit.step == options.step] or [
            catalogue.chosen(found, options.step)
        ]
    with Bar("verify", sum(entry.bytes for entry in asked), "bytes") as bar:
        results = [_verified(storage, entry, bar) for entry in asked]
    if options.output != "text":
        answer([document([entry.as_json() for entry in results], options.output)])
    else:
        answer(
            f"step {e.commit.step}: {_STATES.get(e.state, e.state)}" + f": {e.reason}" * bool(e.reason) for e in results
        )
    return EXIT_OK if all(entry.state in _STATES for entry in results) else EXIT_FAILURE


_STATES = {"kept": "sound", "removed": "removed meanwhile"}


def _verified(storage: Storage, entry: Entry, bar: Bar) -> Entry:
    """The checkpoint as it lies now, whatever was found before: every byte of it read."""
    of = entry.commit
    try:
        for _, size in verify(storage, of.data, read_manifest(storage, of.data, of.manifest_sha256)):
            bar.advance(size)
    except CorruptCheckpoint as error:
        if not storage.names(of.data):
            return replace(entry, state="removed", reason="")
        return replace(entry, state="damaged", reason=str(error))
    except OtherVersion as error:
        return replace(entry, state="unreadable", reason=str(error))
    return replace(entry, state="kept", reason="")


def _diff(storage: Storage, options: argparse.Namespace) -> int:
    from pretrain_trainer.checkpointing.tensors import Difference, differences

    found = catalogue.entries(storage)
    first, second = (catalogue.chosen(found, step, "STEP") for step in options.steps)
    differing = list(differences(storage, first, second))
    if options.output != "text":
        told = [_finite(asdict(d)) if isinstance(d, Difference) else {"difference": d} for d in differing]
        answer([document(told, options.output)])
        return EXIT_FAILURE if differing else EXIT_OK
    if not differing:
        answer([f"step {first.commit.step} and step {second.commit.step}: every tensor has the same bits"])
        return EXIT_OK
    answer(d for d in differing if isinstance(d, str))
    tensors = sorted((d for d in differing if isinstance(d, Difference)), key=lambda d: d.relative, reverse=True)
    answer([f"{counted(len(tensors), 'tensor')} differ{'s' if len(tensors) == 1 else ''}; relative: |b - a| / |a|"])
    for d in tensors[:_TENSORS_TOLD]:
        answer([f"  {d.relative:.3g}  {d.name}: {d.changed:,} of {d.elements:,} elements, by up to {d.greatest:.3g}"])
    if len(tensors) > _TENSORS_TOLD:
        answer([f"  ... and {len(tensors) - _TENSORS_TOLD} more; -o json lists them all"])
    return EXIT_FAILURE


def _finite(figures: dict[str, Any]) -> dict[str, Any]:
    """For JSON, which knows no other numbers."""
    return {name: None if isinstance(n, float) and not math.isfinite(n) else n for name, n in figures.items()}


def _prune(storage: Storage, options: argparse.Namespace) -> int:
    found = [entry for entry in catalogue.entries(storage) if entry.is_there]
    going: list[Entry] = []
    for training in dict.fromkeys(entry.commit.fingerprint for entry in found):  # each training keeps its own
        own = [entry for entry in found if entry.commit.fingerprint == training]
        whole = _down_from_a_sound_one(storage, own)
        stay = collection.kept([entry.commit for entry in whole], options.keep_last, options.keep_every_steps)
        newest = max((entry.commit.sequence for entry in whole), default=0)
        going += [
            entry
            for entry in own
            if entry.commit.data not in stay and entry.state != "unreadable" and entry.commit.sequence <= newest
        ]
    if options.yes:
        for entry in going:
            remove_payload(storage, entry.commit.data, entry.commit.manifest_sha256)
    if options.output != "text":
        answer([document({"removed" if options.yes else "wouldRemove": [e.as_json() for e in going]}, options.output)])
        return EXIT_OK
    what = counted(len(going), "checkpoint")
    size = sum(entry.bytes for entry in going) / 1e6
    steps = f" of steps {', '.join(f'{e.commit.step:,}' for e in going)}" if going else ""
    if options.yes or not going:
        answer([f"removed {what}{steps}, {size:,.1f} MB" if going else "nothing to remove"])
    else:
        answer([f"would remove {what}{steps}, {size:,.1f} MB; --yes removes them"])
    return EXIT_OK


def _down_from_a_sound_one(storage: Storage, entries: Sequence[Entry]) -> list[Entry]:
    """The newest checkpoint of which every byte is as it was written, and those before it that seem whole."""
    kept = [entry for entry in entries if entry.state == "kept"]
    with Bar("verify", sum(entry.bytes for entry in kept[-1:]), "bytes") as bar:
        while kept and _verified(storage, kept[-1], bar).state != "kept":
            kept.pop()
    return kept


def _convert(storage: Storage, options: argparse.Namespace) -> int:
    target = Target.of(options.target, storage)
    entry = catalogue.chosen(catalogue.entries(storage), options.step)
    from pretrain_trainer.checkpointing import converting  # with torch, which takes seconds

    if options.to == "dcp":
        converting.to_dcp(storage, entry, target)
    else:
        job = PretrainJob.model_validate_json(options.job.read_bytes()) if options.job else None
        converting.to_hugging_face(storage, entry, target, options.dtype, job)
    if options.output != "text":
        answer([document({"step": entry.commit.step, "folder": options.target, "form": options.to}, options.output)])
    else:
        answer([f"step {entry.commit.step:,}: {options.target}"])
    return EXIT_OK


if __name__ == "__main__":
    early.run(main)
