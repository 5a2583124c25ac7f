"""`python -m pretrain_trainer.reporting --storage URI`: the report of a run in any state; prints where the page is."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from pretrain_api import layout
from pretrain_api.errors import EXIT_OK
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.command_program import answer, exit_code, on_storage
from pretrain_trainer.reporting import records, serving, write


def main() -> int:
    """Write the report, or serve it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.reporting", description=__doc__)
    parser.add_argument("--storage", required=True, help="the run's spec.storage.uri")
    parser.add_argument("--endpoint-url", default="", help="the run's spec.storage.endpointUrl")
    parser.add_argument("--job", default="", help="file with the job and its status, instead of the run's status.json")
    parser.add_argument("--serve", action="store_true", help="write nothing, and answer browsers until interrupted")
    parser.add_argument("--port", type=int, default=0, help="of --serve; 0: any that is free")
    options = parser.parse_args()
    return exit_code(lambda: on_storage(options.storage, options.endpoint_url, lambda found: _asked(found, options)))


def _asked(storage: Storage, options: argparse.Namespace) -> int:
    def find() -> records.RunRecords:
        job = PretrainJob.model_validate_json(Path(options.job).read_bytes()) if options.job else None
        return records.find(storage, job)

    run = find()
    if options.serve:
        serving.serve(serving.Live(find), options.port, lambda address: answer([address]))
    else:
        write.write(run, run.job.status.state, datetime.now(UTC))
        answer([storage.uri(layout.REPORT_HTML)])
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
