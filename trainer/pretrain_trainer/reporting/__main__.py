"""`python -m pretrain_trainer.reporting --storage URI`: the report of a run in any state; prints where the page is."""

import argparse
import sys
from datetime import UTC, datetime

from pretrain_api import layout
from pretrain_api.errors import EXIT_OK
from pretrain_api.storage import Storage
from pretrain_trainer.command_program import exit_code
from pretrain_trainer.reporting import records, write


def main() -> int:
    """Write the report and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.reporting", description=__doc__)
    parser.add_argument("--storage", required=True, help="the run's spec.storage.uri")
    parser.add_argument("--endpoint-url", default="", help="the run's spec.storage.endpointUrl")
    options = parser.parse_args()
    return exit_code(lambda: _write(Storage(options.storage, options.endpoint_url)))


def _write(storage: Storage) -> int:
    run = records.find(storage)
    write.write(run, run.job.status.state, datetime.now(UTC))
    print(storage.uri(layout.REPORT_HTML))  # noqa: T201 - a program's answer
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
