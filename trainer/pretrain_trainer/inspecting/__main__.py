"""`python -m pretrain_trainer.inspecting verify|stats|peek --storage URI`: behind the commands of `pretrain data`."""

import argparse
import os
import sys
from dataclasses import asdict, replace

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, UserError
from pretrain_api.nouns import counted
from pretrain_trainer.command_program import FORMS, Stopping, answer, document, exit_code
from pretrain_trainer.cores import usable_cores
from pretrain_trainer.documents.faults import patiently, reading
from pretrain_trainer.inspecting import peek, stats, targets, verify
from pretrain_trainer.inspecting.notes import Notes
from pretrain_trainer.inspecting.targets import SampleSource, Target, TokenSource
from pretrain_trainer.parallel import ordered_map
from pretrain_trainer.terminal import Bar, say

_MOST_TOLD = 100
_MOST_TEXTS, _MOST_RECORDS = 3, 20
"""Samples that are shown where nobody says how many."""


def main() -> int:
    """Do what is asked and return the exit code."""
    options = _parser().parse_args()
    if options.endpoint_url:
        os.environ["AWS_ENDPOINT_URL_S3"] = options.endpoint_url
    again = "the same command goes on where it was" if options.what == "verify" else ""
    return exit_code(lambda: _asked(options), again)


def _asked(options: argparse.Namespace) -> int:
    def find() -> Target:
        with reading(options.storage, options.storage):
            return targets.find(options.storage, options.endpoint_url, getattr(options, "tokenizer", ""))

    target = patiently(find)
    if options.what == "verify":
        return _verify(target, options)
    return _stats(target, options.output) if options.what == "stats" else _peek(target, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.inspecting", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for name in ("verify", "stats", "peek"):
        what = commands.add_parser(name)
        what.add_argument("--storage", required=True, help="address of a run or a manifest")
        what.add_argument("--endpoint-url", default="")
        what.add_argument("--output", choices=FORMS, default="text")
        if name == "verify":
            what.add_argument("--processes", type=int, default=0)
        if name == "peek":
            what.add_argument("--tokenizer", default="")
            what.add_argument("--source", default="")
            what.add_argument("--count", type=int, default=0)
            what.add_argument("--at", type=int)
            what.add_argument("--seed", type=int)
            what.add_argument("--sheet", default="")
    return parser


def _verify(target: Target, options: argparse.Namespace) -> int:
    stopping = Stopping()
    notes = Notes(target.sources)
    before = notes.read()
    work = [
        replace(task, before=before.get(verify.address_of(task)))
        for source in target.sources
        for task in verify.tasks(source)
    ]
    if before:
        say(f"goes on: {len(before)} of {counted(len(work), 'shard')} were read before ({notes.path})")
    findings, records = list[verify.Finding](), 0
    processes = max(1, min(options.processes or usable_cores(), len(work)))
    with Bar("verify", sum(task.bytes for task in work), "bytes") as bar:
        for task, found in zip(work, ordered_map(verify.verify, work, processes, stopping), strict=True):
            if found != task.before:
                notes.add(task, found)
            findings += found.findings
            records += found.records
            bar.advance(task.bytes)
    notes.remove()
    if options.output != "text":
        told = {"shards": len(work), "records": records, "findings": [asdict(finding) for finding in findings]}
        answer([document(told, options.output)])
        return EXIT_FAILURE if findings else EXIT_OK
    answer(str(finding) for finding in findings[:_MOST_TOLD])
    if len(findings) > _MOST_TOLD:
        answer([f"... and {len(findings) - _MOST_TOLD} more; -o json lists them all"])
    for source in target.sources:
        if isinstance(source, SampleSource):
            answer(f"note: {line}" for line in verify.missing_members(source))
    read = f"{counted(records, 'record')} in {counted(len(work), 'shard')}"
    answer([f"{read}: {counted(len(findings), 'fault')}" if findings else f"{read}: all sound"])
    return EXIT_FAILURE if findings else EXIT_OK


def _stats(target: Target, output: str) -> int:
    found = stats.stats(target)
    answer([document(found, output)] if output != "text" else stats.lines(found))
    return EXIT_OK


def _peek(target: Target, options: argparse.Namespace) -> int:
    if options.at is not None:
        places = peek.at_position(target, options.at, options.count or 1)
    else:
        source = target.chosen(options.source)
        usual = _MOST_TEXTS if isinstance(source, TokenSource) else _MOST_RECORDS
        places = peek.chosen(source, options.count or usual, options.seed)
    if isinstance(target.sources[0], TokenSource):
        answer(peek.token_lines(places, target.tokenizer))
        return EXIT_OK
    samples = peek.samples_of(places)
    answer(peek.sample_lines(places, samples))
    if found := peek.pictures(samples):
        from pretrain_trainer.inspecting.sheets import contact_sheet

        path = options.sheet or "contact-sheet.png"
        try:
            contact_sheet(found).save(path)
        except (OSError, ValueError) as error:
            instead = "Write the path of a .png or .jpg file in a folder that exists."
            raise UserError("sheet-path", "--sheet", f"{path} cannot be written: {error}.", instead) from error
        answer([f"{counted(len(found), 'image')}: {path}"])
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
