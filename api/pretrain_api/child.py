"""The first moment of a stage program's process: tie its life to its parent's, then become the program.

Run as a script by file name, without the environment's packages, so that it costs milliseconds:
`python -I -S child.py PARENT_PID PROGRAM ARGUMENT...`. The tie survives exec.
"""

import ctypes
import os
import signal
import sys

ENV_PROGRAM = "PRETRAIN_PROGRAM_PID"
"""Number of the program's process. Set here; ranks tell by it whether their agent is still their parent."""
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Die with the parent, even if it died a moment ago; then exec."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.environ[ENV_PROGRAM] = str(os.getpid())
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
