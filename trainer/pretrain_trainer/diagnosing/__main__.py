"""`python -m pretrain_trainer.diagnosing storage URI|machine`: findings, for people or as a line of JSON.

In a pod of a job it tells of that pod's node: `kubectl exec POD -- python -m pretrain_trainer.diagnosing machine`.
"""

import argparse
import sys
from collections.abc import Iterator

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK
from pretrain_api.findings import Finding, dumped
from pretrain_trainer.command_program import answer, exit_code


def main() -> int:
    """Look, print and return the exit code: 1 where something fails."""
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.diagnosing", description=__doc__)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    areas = parser.add_subparsers(dest="area", required=True)
    areas.add_parser("machine")
    storage = areas.add_parser("storage")
    storage.add_argument("uri")
    storage.add_argument("--endpoint-url", default="")
    options = parser.parse_args()

    def work() -> int:
        found = list(_findings(options))
        lines = [dumped(found)] if options.output == "json" else map(_line, found)
        answer(lines)
        return EXIT_FAILURE if any(finding.level == "failure" for finding in found) else EXIT_OK

    return exit_code(work)


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    if options.area == "storage":
        from pretrain_trainer.diagnosing import storage

        return storage.findings(options.uri, options.endpoint_url)
    from pretrain_trainer.diagnosing import machine

    return machine.findings()


def _line(finding: Finding) -> str:
    return f"{finding.level:<8} {finding.check}: {finding.message} {finding.advice}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
