"""`python -m pretrain_trainer.agent --ranks 8 -- --stage Train --job job.json ...`: the ranks of one machine."""

from pretrain_trainer import early


def main() -> int:
    """Listen first, then import the rest and run it."""
    early.listen()
    from pretrain_trainer.agent import program

    return program.main()


if __name__ == "__main__":
    early.run(main)
