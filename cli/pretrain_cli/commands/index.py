"""`pretrain index`: an index and a manifest for WebDataset tars that others wrote."""

import click


@click.command(
    epilog="""\b
Examples:
  pretrain index /data/shards
  pretrain index 's3://bucket/laion/{000000..000099}.tar'
  pretrain index 'https://example.org/{00..19}.tar' --to s3://bucket/index
  pretrain index /data/tokens --tokenizer s3://bucket/tokenizer
  pretrain index /data/shards --check"""
)
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
@click.option("--to", metavar="FOLDER", default="", help="Where index and manifest go, if not beside the tars.")
@click.option("--processes", type=click.IntRange(min=1), metavar="N", help="Tars read at once. Default: one per core.")
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing; hold index and manifest against each header of the tars, and name what differs first.",
)
@click.option("--tokenizer", metavar="FOLDER", default="", help="Tokenizer that the tokens in the tars belong to.")
@click.option("--endpoint-url", metavar="URL", default="", help="S3 server of s3:// addresses.")
def command(
    uris: tuple[str, ...], to: str, processes: int | None, check: bool, tokenizer: str, endpoint_url: str
) -> int:
    """Index the WebDataset tars at URIs: files, folders, globs, or braces as in {000000..000099}.tar.

    Writes an .idx for each tar and one manifest.json, and changes no tar. May be interrupted at any time; the same
    command goes on, and reads again only what has changed.
    Exit codes: 0 done, 1 --check found differences, or a store failed, 2 something you wrote or a tar is wrong.
    """
    from pretrain_cli.trainer_program import run

    options = ["--to", to, "--tokenizer", tokenizer, "--endpoint-url", endpoint_url]
    options += ["--processes", str(processes)] if processes else []
    options += ["--check"] if check else []
    return run("indexing", *options, "--", *uris)
