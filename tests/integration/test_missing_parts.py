"""What a machine cannot do is told in one sentence, never by a failure half-way."""

import os
import subprocess
import sys

from support.cluster.places import REPOSITORY

PROGRAM = """
from support.cluster.missing import MissingPart
from support.cluster.mounts import require_mounts
try:
    require_mounts()
except MissingPart as missing:
    print(missing)
"""


def test_a_container_that_may_not_mount_is_told_what_to_give_it() -> None:
    without = ["setpriv", "--bounding-set", "-sys_admin"] if os.geteuid() == 0 else []
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")}
    said = subprocess.run([*without, sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert "capability SYS_ADMIN" in said.stdout, said.stderr
