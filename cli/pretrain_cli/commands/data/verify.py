"""`pretrain data verify`: every record read again and held against its checksum."""

import click


@click.command(
    epilog="""\b
Examples:
  pretrain data verify /data/shards
  pretrain data verify s3://bucket/shards/manifest.json --processes 8
  pretrain data verify job.yaml -o json"""
)
@click.argument("target", metavar="FILE|URI")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option(
    "--processes", type=click.IntRange(min=1), metavar="N", help="Shards read at once. Default: one per core."
)
@click.option("--endpoint-url", metavar="URL", default="", help="S3 server of s3:// addresses.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="Form of the result.")
def command(target: str, sets: tuple[str, ...], processes: int | None, endpoint_url: str, output: str) -> int:
    """Read every record of the shards at URI (a manifest.json, its folder, or a run) or of the run of a job FILE.

    Compares checksums and counts with index and manifest, and decodes images, text, JSON and arrays. May be interrupted
    at any time; the same command goes on behind the shards that it has read, unless these changed meanwhile.
    Exit codes: 0 all sound, 1 there are faults, 2 something you wrote is wrong.
    """
    from pretrain_cli.target import data_address
    from pretrain_cli.trainer_program import run

    uri, endpoint = data_address(target, sets, endpoint_url)
    options = ["--storage", uri, "--endpoint-url", endpoint, "--output", output]
    return run("inspecting", "verify", *options, *(["--processes", str(processes)] if processes else []))
