"""The `pretrain` command. Imports are lazy: `--help` and `validate` must answer at once."""
