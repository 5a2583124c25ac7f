"""`pretrain checkpoints convert`: a checkpoint for other programs."""

import tempfile
from pathlib import Path

import click

from pretrain_cli.commands.checkpoints import options


@click.command(
    epilog="""\b
Examples:
  pretrain checkpoints convert job.yaml ./model --to huggingface
  pretrain checkpoints convert /data/run s3://bucket/step-4000 --to dcp --step 4000"""
)
@options.of_run
@click.argument("folder", metavar="FOLDER")
@click.option("--to", type=click.Choice(["huggingface", "dcp"]), required=True, help="The form.")
@click.option("--step", type=click.IntRange(min=0), metavar="N", help="Of which checkpoint. Default: the newest.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    help="Of the weights for Hugging Face.  [default: float32]",
)
def command(target: str, sets: tuple[str, ...], output: str, folder: str, to: str, step: int | None, dtype: str) -> int:
    """Write a checkpoint into a new FOLDER, which may be an address.

    huggingface: model and tokenizer, for `from_pretrained`; of a run in a cluster, give the job's FILE. dcp: everything, the
    optimizer's state too, for `torch.distributed.checkpoint.load`.
    Exit codes: 0, 1 the checkpoint is damaged, 2 something you wrote is wrong.
    """
    from pretrain_cli.target import given_job

    more = ["--to", to, "--dtype", dtype, *([] if step is None else ["--step", str(step)])]
    with tempfile.TemporaryDirectory(prefix="pretrain-") as own:
        if job := given_job(target, sets):
            path = Path(own) / "job.json"
            path.write_text(job.model_dump_json(by_alias=True))
            more += ["--job", str(path)]
        return options.run("convert", target, sets, output, *more, "--", folder)
