"""`pretrain data audit`: what a run read, compared with what its order says."""

import click


@click.command(
    epilog="""\b
Examples:
  pretrain data audit job.yaml
  pretrain data audit /data/run
  pretrain data audit s3://bucket/run -o json"""
)
@click.argument("target", metavar="FILE|STORAGE_URI")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the result.")
def command(target: str, sets: tuple[str, ...], output: str) -> int:
    """Prove that every step up to the newest checkpoint of a run was committed once.

    Works for runs on this machine and in a cluster, finished or not.
    Exit codes: 0 clean, 1 there are differences, 2 something you wrote is wrong.
    """
    from pretrain_cli.target import endpoint_url, workplace
    from pretrain_cli.trainer_program import run

    place = workplace(target, sets)
    return run("auditing", place.storage.uri(), endpoint_url(place), "--output", output)
