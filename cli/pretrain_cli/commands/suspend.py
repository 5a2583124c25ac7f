"""`pretrain suspend`: stop jobs after a checkpoint and free their pods."""

from pretrain_cli.cluster.switch import switch

command = switch(
    suspend=True,
    purpose="Suspend jobs by NAME: training saves a checkpoint, then every pod is freed. Finished stages are kept.",
    waits_until="suspended",
    epilog="""\b
Examples:
  pretrain suspend gpt-small
  pretrain suspend gpt-small gpt-large --wait --timeout 10m
  pretrain suspend --all -n research""",
)
