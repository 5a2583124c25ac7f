"""`python -m pretrain_trainer --stage Collect --job job.json`: runs one stage program."""

from pretrain_trainer import early


def main() -> int:
    """Import the rest and run it."""
    from pretrain_trainer import program

    return program.main()


if __name__ == "__main__":
    early.run(main)
