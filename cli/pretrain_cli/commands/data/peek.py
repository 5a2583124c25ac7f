"""`pretrain data peek`: samples as a person reads them."""

import click


@click.command(
    epilog="""\b
Examples:
  pretrain data peek /data/run --source web
  pretrain data peek /data/run --at 1000
  pretrain data peek s3://bucket/images/manifest.json --random --count 30 --sheet images.png
  pretrain data peek /data/tokens --tokenizer /data/tokenizer"""
)
@click.argument("target", metavar="FILE|URI")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option("--source", metavar="NAME", default="", help="Of a run: this source instead of the first.")
@click.option("--at", type=click.IntRange(min=0), metavar="G", help="Of a run: what it trains on at position G.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="How many samples or records.")
@click.option("--random", "is_random", is_flag=True, help="From anywhere, instead of the first ones.")
@click.option("--seed", type=int, metavar="N", help="Of --random: the same ones again. Default: 0.")
@click.option("--sheet", metavar="PATH", default="", help="Where the images go. Default: contact-sheet.png.")
@click.option("--tokenizer", metavar="FOLDER", default="", help="Tokenizer of a manifest's tokens; a run has its own.")
@click.option("--endpoint-url", metavar="URL", default="", help="S3 server of s3:// addresses.")
def command(
    target: str,
    sets: tuple[str, ...],
    source: str,
    at: int | None,
    count: int | None,
    is_random: bool,
    seed: int | None,
    sheet: str,
    tokenizer: str,
    endpoint_url: str,
) -> int:
    """Show samples of the shards at URI (a manifest.json, its folder, or a run) or of the run of a job FILE.

    Tokens are shown as text with the boundaries of documents, records of other shards by their texts; their images go into
    one PNG or JPEG with captions.
    """
    from pretrain_cli.target import data_address
    from pretrain_cli.trainer_program import run

    if at is not None and (source or is_random or seed is not None):
        raise click.UsageError("--at goes without --source, --random and --seed: the order says which sample it is.")
    uri, endpoint = data_address(target, sets, endpoint_url)
    options = ["--storage", uri, "--endpoint-url", endpoint, "--source", source, "--tokenizer", tokenizer]
    options += ["--sheet", sheet]
    options += ["--at", str(at)] if at is not None else []
    options += ["--count", str(count)] if count else []
    options += ["--seed", str(seed or 0)] if is_random or seed is not None else []
    return run("inspecting", "peek", *options)
