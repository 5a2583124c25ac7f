"""`python -m pretrain_trainer.auditing --storage URI`: audits a run and prints what was found."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK
from pretrain_api.nouns import counted
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import Audit, audit
from pretrain_trainer.command_program import FORMS, answer, document, exit_code, on_storage
from pretrain_trainer.terminal import Bar

_LINES = 20
"""Differences that the text shows."""


def main() -> int:
    """Audit the run and return the exit code: 0 clean, 1 differences or a store that failed, 2 nothing to audit."""
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.auditing", description=__doc__)
    parser.add_argument("--storage", required=True, help="the run's spec.storage.uri")
    parser.add_argument("--endpoint-url", default="", help="the run's spec.storage.endpointUrl")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps whose samples are read again")
    parser.add_argument("--output", choices=FORMS, default="text")
    options = parser.parse_args()
    audited = partial(_audited, share=options.share, output=options.output)
    return exit_code(lambda: on_storage(options.storage, options.endpoint_url, audited))


def _audited(storage: Storage, share: float, output: str) -> int:
    found = _shown(storage, share)
    if output != "text":
        answer([document(found.as_json(), output)])
    else:
        answer(_lines(found))
    return EXIT_FAILURE if found.found else EXIT_OK


def _shown(storage: Storage, share: float) -> Audit:
    """The audit, with a bar once it is known how much there is to read."""
    with ExitStack() as stack:
        bars: list[Bar] = []

        def told(amount: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(Bar("reading shards", total, "bytes")))
            bars[0].advance(amount)

        return audit(storage, share, told)


def _lines(found: Audit) -> Iterator[str]:
    yield (
        f"training {found.fingerprint}: {counted(found.steps, 'step')} in {counted(found.commits, 'commit')} of "
        f"{counted(found.starts, 'start')}, {counted(found.samples, 'sample')}, {counted(found.weights, 'mixture')}"
    )
    if found.skipped_steps:
        yield f"{counted(found.skipped_steps, 'step')} had no finite gradient and changed nothing"
    if found.stand_ins:
        yield f"{counted(found.stand_ins, 'sample')} of damaged records counted in no loss"
    for difference in found.differences[:_LINES]:
        yield f"difference: {difference}"
    if found.found > _LINES:
        yield f"... and {found.found - _LINES} more"
    if not found.found:
        yield (
            f"clean: samples 0 to {found.samples - 1} were read once each, in this order; "
            f"the content of {counted(found.samples_read, 'sample')} was read again and is the same"
        )


if __name__ == "__main__":
    sys.exit(main())
