"""`pretrain data stats`: what shards are made of."""

import click


@click.command(
    epilog="""\b
Examples:
  pretrain data stats /data/run
  pretrain data stats s3://bucket/shards/manifest.json
  pretrain data stats job.yaml -o json"""
)
@click.argument("target", metavar="FILE|URI")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option("--endpoint-url", metavar="URL", default="", help="S3 server of s3:// addresses.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="Form of the result.")
def command(target: str, sets: tuple[str, ...], endpoint_url: str, output: str) -> int:
    """Show samples, tokens, documents and lengths of the shards at URI (a manifest.json, its folder, or a run) or of the
    run of a job FILE; of images sizes and formats.

    Counts are those of the manifest; distributions are of up to 512 records or samples spread over each source.
    """
    from pretrain_cli.target import data_address
    from pretrain_cli.trainer_program import run

    uri, endpoint = data_address(target, sets, endpoint_url)
    return run("inspecting", "stats", "--storage", uri, "--endpoint-url", endpoint, "--output", output)
