"""The subcommands of `pretrain`, one module each, with a click command called `command`."""
