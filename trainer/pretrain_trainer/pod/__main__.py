"""`python -m pretrain_trainer.pod --stage Prepare --job /etc/pretrain/job.json ...`: the command of every pod."""

import sys

from pretrain_trainer import early


def main() -> int:
    """Listen first, then import the rest and run it."""
    early.listen()
    from pretrain_trainer.pod import program

    return program.main()


if __name__ == "__main__":
    sys.exit(main())
