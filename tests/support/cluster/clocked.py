"""Run by `runc`'s stand-in, with nothing but the standard library: put a clock into the container that is about to be created.

Arguments: the clock's folder, then runc's own.
"""

import json
import sys
from pathlib import Path

LIBRARY, TIME = "libfaketime.so.1", "time"
PLACE = "/clock"
"""In a container."""
ENVIRONMENT = (
    f"LD_PRELOAD={PLACE}/{LIBRARY}",
    f"FAKETIME_TIMESTAMP_FILE={PLACE}/{TIME}",
    "FAKETIME_CACHE_DURATION=1",
    # Ages of files are of no interest, and looking at one often.
    "NO_FAKE_STAT=1",
    # What measures how long something takes is right on a machine whose clock is wrong.
    "FAKETIME_DONT_FAKE_MONOTONIC=1",
)


def main(clock: str, *arguments: str) -> None:
    path = Path(arguments[arguments.index("--bundle") + 1], "config.json")
    config = json.loads(path.read_text())
    config["process"].setdefault("env", []).extend(ENVIRONMENT)
    mount = {"destination": PLACE, "type": "bind", "source": clock, "options": ["rbind", "ro"]}
    config.setdefault("mounts", []).append(mount)
    path.write_text(json.dumps(config))


if __name__ == "__main__":
    main(*sys.argv[1:])
