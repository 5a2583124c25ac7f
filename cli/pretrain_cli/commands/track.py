"""`pretrain track`: a run's steps for the tools in which runs are compared."""

from __future__ import annotations

import click

from pretrain_cli.cluster.options import complete_job, connection_options, is_job_name


@click.command(
    epilog="""\b
Examples:
  pretrain track job.yaml --to tensorboard --folder runs/tensorboard
  pretrain track gpt-small --to wandb --folder . --project search --follow
  pretrain track s3://bucket/run --to mlflow --folder ."""
)
@click.argument("target", metavar="NAME|FILE|STORAGE_URI", shell_complete=complete_job)
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option("--to", "tool", type=click.Choice(["tensorboard", "wandb", "mlflow"]), required=True, help="The tool.")
@click.option(
    "--folder", type=click.Path(file_okay=False), required=True, help="Where its files go; FOLDER/JOB of tensorboard."
)
@click.option("--project", metavar="NAME", help="Project of wandb, experiment of mlflow. Default: pretrain.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@connection_options
def command(
    target: str,
    sets: tuple[str, ...],
    tool: str,
    folder: str,
    project: str | None,
    follow: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Write the steps of a run in any state for TensorBoard, Weights & Biases or MLflow.

    They are read from the checkpoints' history in the run's storage: training does not notice, and each step that stands is
    there once. wandb writes offline runs unless WANDB_MODE=online; mlflow writes to the server that MLFLOW_TRACKING_URI
    names instead, where it is set.
    """
    if project and tool == "tensorboard":
        raise click.UsageError("--project goes with wandb and mlflow.")
    options = ["--to", tool, "--folder", folder, "--project", project or "", *(["--follow"] if follow else [])]
    if is_job_name(target):
        if sets:
            raise click.UsageError("--set goes with a job file.")
        from pretrain_cli.cluster.on_storage import run_on_storage
        from pretrain_cli.cluster.options import connected_for

        return run_on_storage(connected_for(target, kubeconfig, context, namespace), target, "tracking", options)
    if namespace or context or kubeconfig:
        raise click.UsageError(f"-n, --context and --kubeconfig go with the NAME of a job; {target} is none.")
    from pretrain_cli.target import recorded_job, workplace
    from pretrain_cli.trainer_program import run

    place = workplace(target, sets)
    endpoint = recorded_job(place).spec.storage.endpoint_url
    return run("tracking", "--storage", place.storage.uri(), "--endpoint-url", endpoint, *options)
