"""`python -m pretrain_trainer.indexing URI...`: indexes tars and says what they hold. Behind `pretrain index`."""

import argparse
import os
import sys
from collections.abc import Mapping

from pretrain_api import layout
from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_USER_ERROR
from pretrain_api.nouns import counted
from pretrain_api.samples import SampleManifest
from pretrain_api.storage import Storage
from pretrain_trainer import tokenizer
from pretrain_trainer.command_program import Stopping, exit_code
from pretrain_trainer.cores import usable_cores
from pretrain_trainer.indexing import checking, places, work
from pretrain_trainer.indexing.names import shown
from pretrain_trainer.terminal import say

_MOST_TOLD = 20


def main() -> int:
    """Index and return the exit code: 0, 1 for differences (--check), 2 for a user's mistake, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.indexing", description=__doc__)
    parser.add_argument("uris", nargs="+")
    parser.add_argument("--to", default="")
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--tokenizer", default="")
    parser.add_argument("--endpoint-url", default="")
    options = parser.parse_args()
    if options.endpoint_url:
        os.environ["AWS_ENDPOINT_URL_S3"] = options.endpoint_url
    return exit_code(lambda: _index(options), "the same command goes on where it was")


def _index(options: argparse.Namespace) -> int:
    stopping = Stopping()
    found = places.find(options.uris, options.to)
    if options.check:
        return _check(found, options, stopping)
    sha256 = _tokenizer_sha256(options.tokenizer, options.endpoint_url)
    manifest, faults = work.index(found, options.endpoint_url, options.processes or usable_cores(), sha256, stopping)
    if faults:
        for fault in faults[:_MOST_TOLD]:
            say(f"error: {fault}")
        more = f" ({len(faults) - _MOST_TOLD} more are not shown)" if len(faults) > _MOST_TOLD else ""
        say(f"{len(faults)} of {len(found.tars)} tars cannot be indexed{more}; no manifest was written")
        return EXIT_USER_ERROR
    _tell(manifest, Storage(found.folder, options.endpoint_url).uri(layout.MANIFEST))
    return EXIT_OK


def _tokenizer_sha256(uri: str, endpoint_url: str) -> str:
    return tokenizer.load_given(uri, endpoint_url, "--tokenizer").sha256 if uri else ""


def _check(found: places.Places, options: argparse.Namespace, stopping: Stopping) -> int:
    differences = checking.differences(found, options.endpoint_url, options.processes or usable_cores(), stopping)
    for difference in differences:
        say(difference)
    if differences:
        say(
            f"{counted(len(differences), 'difference')}; `pretrain index` without --check mends them, once an .idx that is wrong is removed"
        )
        return EXIT_FAILURE
    _print(f"{counted(len(found.tars), 'tar')} indexed as they are")
    return EXIT_OK


def _tell(manifest: SampleManifest, uri: str) -> None:
    _print(f"{counted(manifest.records, 'record')} in {counted(len(manifest.shards), 'tar')}, {manifest.bytes:,} bytes")
    for name, member in manifest.members.items():
        missing = manifest.records - member.records
        _print(
            f"  {shown(name)}: {member.kind}, {member.bytes:,} bytes"
            + (f", {_array(member.array.model_dump())}" if member.array else "")
            + (f", missing in {counted(missing, 'record')}" if missing else "")
        )
    if skipped := sum(shard.skipped for shard in manifest.shards):
        _print(f"  {counted(skipped, 'file')} passed over: no dot in the name")
    _print(uri)


def _array(array: Mapping[str, object]) -> str:
    shape = {1: "[n]", 2: f"[n, {array['width'] or 'm'}]"}.get(int(str(array["dimensions"])), "of several shapes")
    return f"{array['dtype'] or 'several types'} {shape}"


def _print(line: str) -> None:
    print(line)  # noqa: T201 - a program's answer


if __name__ == "__main__":
    sys.exit(main())
