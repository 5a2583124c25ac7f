"""`pretrain data audit`: what a run read, compared with what its order says."""

import click


@click.command(
    epilog="""\b
Examples:
  pretrain data audit job.yaml
  pretrain data audit /data/run
  pretrain data audit s3://bucket/run --sample 0.01 -o json"""
)
@click.argument("target", metavar="FILE|STORAGE_URI")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option(
    "--sample",
    "share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    metavar="SHARE",
    help="Read the samples of only this share of the steps again, such as 0.01; the order of all is checked.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="Form of the result.")
def command(target: str, sets: tuple[str, ...], share: float, output: str) -> int:
    """Prove from what a run left in its storage that it read each sample of its order once.

    The order is computed again, and the samples are read again from the shards without their index; the first
    differences are named. Works for runs on this machine and in a cluster, finished or not.
    Exit codes: 0 clean, 1 there are differences, 2 something you wrote is wrong.
    """
    from pretrain_cli.target import endpoint_url, workplace
    from pretrain_cli.trainer_program import run

    place = workplace(target, sets)
    options = ["--storage", place.storage.uri(), "--endpoint-url", endpoint_url(place)]
    return run("auditing", *options, "--share", str(share), "--output", output)
