"""`pretrain report`: the report of a run in any state, made from what it recorded so far."""

from __future__ import annotations

import click

from pretrain_cli.cluster.options import complete_job, connection_options, is_job_name


@click.command(
    epilog="""\b
Examples:
  pretrain report job.yaml
  pretrain report /data/run --serve
  pretrain report gpt-small --serve --port 8000"""
)
@click.argument("target", metavar="NAME|FILE|STORAGE_URI", shell_complete=complete_job)
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option("--serve", is_flag=True, help="Write nothing; serve the page on this machine, live, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Of --serve. Default: any that is free.")
@connection_options
def command(
    target: str,
    sets: tuple[str, ...],
    serve: bool,
    port: int | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Write report/report.json and report/index.html of a run and print where the page is.

    A run that succeeded has them already. This makes them of one that failed, was stopped or still works. Of a job in the
    cluster (NAME) the storage is read and written from this machine, with the keys of the job's Secret.
    """
    if port is not None and not serve:
        raise click.UsageError("--port goes with --serve.")
    serving = ["--serve", "--port", str(port or 0)] if serve else []
    if is_job_name(target):
        if sets:
            raise click.UsageError("--set goes with a job file.")
        from pretrain_cli.cluster.on_storage import run_on_storage
        from pretrain_cli.cluster.options import connected_for

        return run_on_storage(connected_for(target, kubeconfig, context, namespace), target, "reporting", serving)
    if namespace or context or kubeconfig:
        raise click.UsageError(f"-n, --context and --kubeconfig go with the NAME of a job; {target} is none.")
    from pretrain_cli.target import recorded_job, workplace
    from pretrain_cli.trainer_program import run

    place = workplace(target, sets)
    endpoint = recorded_job(place).spec.storage.endpoint_url
    return run("reporting", "--storage", place.storage.uri(), "--endpoint-url", endpoint, *serving)
