"""`python -m pretrain_trainer.pod --stage Prepare --job /etc/pretrain/job.json ...`: the command of every pod."""

import sys

from pretrain_trainer.pod.program import main

if __name__ == "__main__":
    sys.exit(main())
