"""`python -m pretrain_trainer.checkpointing list|verify|diff|prune|convert --storage URI`: behind `pretrain checkpoints`."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK
from pretrain_api.nouns import counted
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.checkpointing import catalogue
from pretrain_trainer.checkpointing.catalogue import Entry
from pretrain_trainer.command_program import exit_code, on_storage
from pretrain_trainer.terminal import Bar
from pretrain_trainer.training import commit_log
from pretrain_trainer.training.payload_files import CorruptCheckpoint, read_manifest, remove_payload, verify

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
        program.add_argument("--output", choices=["text", "json"], default="text")
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
    if options.output == "json":
        _print([json.dumps([entry.as_json() for entry in shown], indent=1)])
        return EXIT_OK
    rows: list[tuple[str, ...]] = [("STEP", "SAMPLES", "TOKENS", "START", "COMMITTED", "SIZE", "STATE")]
    rows += [_row(entry) for entry in shown]
    _print(_aligned(rows))
    if hidden := len(found) - len(shown):
        _print([f"and {counted(hidden, 'commit')} whose checkpoint was removed; --all shows them"])
    return EXIT_OK


def _row(entry: Entry) -> tuple[str, ...]:
    of = entry.commit
    state = f"damaged: {entry.reason}" if entry.state == "damaged" else entry.state
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
        results = [(entry, _damage(storage, entry, bar)) for entry in asked]
    if options.output == "json":
        told = [
            {**entry.as_json(), "state": "damaged" if damage else "kept", "reason": damage} for entry, damage in results
        ]
        _print([json.dumps(told, indent=1)])
    else:
        _print(f"step {entry.commit.step}: {f'damaged: {damage}' if damage else 'sound'}" for entry, damage in results)
    return EXIT_FAILURE if any(damage for _, damage in results) else EXIT_OK


def _damage(storage: Storage, entry: Entry, bar: Bar) -> str:
    """What is wrong with a checkpoint as it lies now, whatever was found before."""
    of = entry.commit
    try:
        for _, size in verify(storage, of.data, read_manifest(storage, of.data, of.manifest_sha256)):
            bar.advance(size)
    except CorruptCheckpoint as error:
        return str(error)
    return ""


def _diff(storage: Storage, options: argparse.Namespace) -> int:
    from pretrain_trainer.checkpointing.tensors import Difference, differences

    found = catalogue.entries(storage)
    first, second = (catalogue.chosen(found, step, "STEP") for step in options.steps)
    differing = list(differences(storage, first, second))
    if options.output == "json":
        told = [asdict(d) if isinstance(d, Difference) else {"difference": d} for d in differing]
        _print([json.dumps(told, indent=1)])
        return EXIT_FAILURE if differing else EXIT_OK
    if not differing:
        _print([f"step {first.commit.step} and step {second.commit.step}: every tensor has the same bits"])
        return EXIT_OK
    _print(d for d in differing if isinstance(d, str))
    tensors = sorted((d for d in differing if isinstance(d, Difference)), key=lambda d: d.relative, reverse=True)
    _print([f"{counted(len(tensors), 'tensor')} differ{'s' if len(tensors) == 1 else ''}; relative: |b - a| / |a|"])
    for d in tensors[:_TENSORS_TOLD]:
        _print([f"  {d.relative:.3g}  {d.name}: {d.changed:,} of {d.elements:,} elements, by up to {d.greatest:.3g}"])
    if len(tensors) > _TENSORS_TOLD:
        _print([f"  ... and {len(tensors) - _TENSORS_TOLD} more; -o json lists them all"])
    return EXIT_FAILURE


def _prune(storage: Storage, options: argparse.Namespace) -> int:
    there = [entry for entry in catalogue.entries(storage) if entry.state == "kept"]
    stay: set[str] = set()
    for training in {entry.commit.fingerprint for entry in there}:  # each training keeps its own
        commits = [entry.commit for entry in there if entry.commit.fingerprint == training]
        stay |= commit_log.kept(commits, options.keep_last, options.keep_every_steps)
    going = [entry for entry in there if entry.commit.data not in stay]
    if options.yes:
        for entry in going:
            remove_payload(storage, entry.commit.data, entry.commit.manifest_sha256)
    if options.output == "json":
        _print([json.dumps({"removed" if options.yes else "wouldRemove": [e.as_json() for e in going]}, indent=1)])
        return EXIT_OK
    what = counted(len(going), "checkpoint")
    size = sum(entry.bytes for entry in going) / 1e6
    steps = f" of steps {', '.join(f'{e.commit.step:,}' for e in going)}" if going else ""
    if options.yes or not going:
        _print([f"removed {what}{steps}, {size:,.1f} MB" if going else "nothing to remove"])
    else:
        _print([f"would remove {what}{steps}, {size:,.1f} MB; --yes removes them"])
    return EXIT_OK


def _convert(storage: Storage, options: argparse.Namespace) -> int:
    from pretrain_trainer.checkpointing import converting

    converting.check_target(options.target)
    entry = catalogue.chosen(catalogue.entries(storage), options.step)
    if options.to == "dcp":
        converting.to_dcp(storage, entry, options.target)
    else:
        job = PretrainJob.model_validate_json(options.job.read_bytes()) if options.job else None
        converting.to_hugging_face(storage, entry, options.target, options.dtype, job)
    _print([f"step {entry.commit.step:,}: {options.target}"])
    return EXIT_OK


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)  # noqa: T201 - a program's answer


if __name__ == "__main__":
    sys.exit(main())
