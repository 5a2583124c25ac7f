"""The local body: the plan carried out with processes and folders of this machine, for `pretrain run`."""
