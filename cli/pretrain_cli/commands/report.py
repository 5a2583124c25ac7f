"""`pretrain report`: the report of a run in any state, made from what it recorded so far."""

import click


@click.command(
    epilog="""\b
Examples:
  pretrain report job.yaml
  pretrain report /data/run"""
)
@click.argument("target", metavar="FILE|STORAGE_URI")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
def command(target: str, sets: tuple[str, ...]) -> int:
    """Write report/report.json and report/index.html of a run and print where the page is.

    A run that succeeded has them already. This makes them of one that failed, was stopped or still works.
    """
    from pretrain_cli.target import recorded_job, workplace
    from pretrain_cli.trainer_program import run

    place = workplace(target, sets)
    endpoint = recorded_job(place).spec.storage.endpoint_url
    return run("reporting", "--storage", place.storage.uri(), "--endpoint-url", endpoint)
