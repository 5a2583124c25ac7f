"""`python -m pretrain_trainer.auditing --storage URI`: audits a run and prints what was found."""

import argparse
import json
import sys

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_USER_ERROR, UserError
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.steps import audit
from pretrain_trainer.process import die_with_parent


def main() -> int:
    """Audit the run and return the exit code: 0 clean, 1 differences, 2 nothing to audit."""
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.auditing", description=__doc__)
    parser.add_argument("--storage", required=True, help="the run's spec.storage.uri")
    parser.add_argument("--endpoint-url", default="", help="the run's spec.storage.endpointUrl")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    die_with_parent()
    try:
        found = audit(Storage(options.storage, options.endpoint_url))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a program's answer
        return EXIT_USER_ERROR
    if options.output == "json":
        print(json.dumps({"steps": found.steps, "differences": found.differences}, indent=1))  # noqa: T201
    else:
        for difference in found.differences:
            print(f"difference: {difference}")  # noqa: T201
        print(f"{found.steps} committed steps, {len(found.differences)} differences")  # noqa: T201
    return EXIT_FAILURE if found.differences else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
