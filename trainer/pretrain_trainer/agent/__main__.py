"""`python -m pretrain_trainer.agent --ranks 8 -- --stage Train --job job.json ...`: the ranks of one machine."""

import os
import sys

from pretrain_trainer import early


def main() -> int:
    """Listen first, then import the rest and run it."""
    early.listen()
    from pretrain_trainer.agent import program

    return program.main()


if __name__ == "__main__":
    code = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # taking apart all that was imported takes a second, and nothing of it has anything left to do
