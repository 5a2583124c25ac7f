"""`pretrain status`: how far a run is, from what it recorded in its storage."""

from datetime import UTC, datetime

import click

from pretrain_api.errors import EXIT_OK


@click.command(
    epilog="""\b
Examples:
  pretrain status job.yaml
  pretrain status /data/run -o json"""
)
@click.argument("target", metavar="FILE|STORAGE_URI")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="Form of the result.")
def command(target: str, sets: tuple[str, ...], output: str) -> int:
    """Show how far the run of a job file, or in a storage address, is."""
    from pretrain_cli.target import recorded_job, workplace

    place = workplace(target, sets)
    job = recorded_job(place)
    if output == "json":
        click.echo(job.model_dump_json(by_alias=True, exclude_none=True, indent=2))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(job.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=False))
    else:
        from pretrain_cli.display.state import lines

        for line in lines(job, place.runner(), datetime.now(UTC), is_seen=place.storage.is_local):
            click.echo(line)
    return EXIT_OK
