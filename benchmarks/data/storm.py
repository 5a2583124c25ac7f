"""Training in a storm, then its audit: shards and checkpoints on an S3 server behind a proxy that answers 1 % of the requests
with an error, 1 % two seconds late and cuts one connection in 200; kills at random steps; another number of ranks each time.

    .venv/bin/python benchmarks/data/storm.py --kills 20 --seed 7 --output benchmarks/data/results/storm.json
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "tests"))

from support.cluster.s3 import s3_server
from support.storm import Kill, storm


def told(kill: Kill) -> None:
    what = "one and then all of " if kill.one_rank_before else ""
    print(f"resumed at step {kill.resumed_at}, {what}{kill.ranks} ranks killed at step {kill.at_step}", flush=True)


def main() -> int:
    """Returns 0 when the audit is clean, 1 when it is not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of moments, ranks and faults")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, s3_server() as server:
        found = storm(Path(folder), server, options.kills, options.seed, told)
    for difference in found.audit.differences:
        print(difference)
    print(
        f"{len(found.kills)} kills, {found.faults} faults in {found.requests} requests, {found.steps} steps: "
        f"{found.audit.samples} samples, {found.audit.samples_read} read again, {found.audit.found} differences"
    )
    if options.output:
        result = {
            "subject": "training through faults and kills, audited",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {"cpu": platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "torch": version("torch"), "s3fs": version("s3fs")},
            "settings": {"kills": options.kills, "seed": options.seed},
            **found.as_json(),
        }
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if found.audit.found else 0


if __name__ == "__main__":
    sys.exit(main())
