"""`pretrain resume`: let suspended jobs go on."""

from pretrain_cli.cluster.switch import switch

command = switch(
    suspend=False,
    purpose="Resume suspended jobs by NAME: they go on from their newest checkpoint.",
    waits_until="at work",
    epilog="""\b
Examples:
  pretrain resume gpt-small
  pretrain resume gpt-small gpt-large --wait --timeout 10m
  pretrain resume --all -n research""",
)
