"""`python -m pretrain_trainer --stage Collect --job job.json`: runs one stage program."""

import sys

from pretrain_trainer.program import main

if __name__ == "__main__":
    sys.exit(main())
