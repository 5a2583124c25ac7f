"""Options and arguments that the cluster commands share. Imports no client: help and completion stay fast."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from pretrain_api.errors import UserError
from pretrain_cli.standard_error import say

if TYPE_CHECKING:
    from pretrain_cli.cluster.connection import Connection

Command = TypeVar("Command", bound=Callable[..., Any])
_JOB_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")


def is_job_name(target: str) -> bool:
    """Whether a word names a job in the cluster: one without '/', '.' and ':' does, whatever files there are, so that the
    same words always mean the same."""
    return _JOB_NAME.match(target) is not None


def complete_job(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the jobs in the namespace; none when the cluster does not answer at once."""
    try:
        from pretrain_cli.cluster import connection, jobs

        chosen = connection.connect(
            ctx.params.get("kubeconfig") or "", ctx.params.get("context") or "", ctx.params.get("namespace") or ""
        )
        known = [name for _, name in jobs.names(chosen.impatient())]
    except Exception:  # noqa: BLE001 - a shell that completes has no place for messages
        return []
    given = ctx.params.get(param.name or "") or ()
    return [CompletionItem(name) for name in known if name.startswith(incomplete) and name not in given]


def complete_namespace(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the namespaces, as far as one may list them."""
    try:
        from pretrain_cli.cluster import connection

        chosen = connection.connect(ctx.params.get("kubeconfig") or "", ctx.params.get("context") or "").impatient()
        items = [item for page in chosen.pages("/api/v1/namespaces", {}) for item in page["items"]]
        known = [item["metadata"]["name"] for item in items]
    except Exception:  # noqa: BLE001 - a shell that completes has no place for messages
        return []
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


def complete_context(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the contexts in the kubeconfig."""
    try:
        from pretrain_cli.cluster import connection

        known = connection.contexts(ctx.params.get("kubeconfig") or "")
    except Exception:  # noqa: BLE001 - a shell that completes has no place for messages
        return []
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


def connection_options(command: Command) -> Command:
    """-n, --context and --kubeconfig, as in kubectl."""
    for option in (
        click.option("--kubeconfig", metavar="FILE", help="Instead of KUBECONFIG and ~/.kube/config."),
        click.option("--context", metavar="NAME", shell_complete=complete_context, help="Context of the kubeconfig."),
        click.option(
            "-n", "--namespace", metavar="NAME", shell_complete=complete_namespace, help="Namespace of the job."
        ),
    ):
        command = option(command)
    return command


def names_argument(required: bool) -> Callable[[Command], Command]:
    """One or more names of jobs."""
    return click.argument(
        "names",
        metavar="NAME..." if required else "[NAME]...",
        nargs=-1,
        required=required,
        shell_complete=complete_job,
    )


def many_options(command: Command) -> Command:
    """--all and -l, instead of names."""
    for option in (
        click.option("-l", "--selector", metavar="LABELS", help="Instead of names: jobs with these labels."),
        click.option("--all", "every", is_flag=True, help="Instead of names: all jobs of the namespace."),
    ):
        command = option(command)
    return command


def connected(kubeconfig: str | None, context: str | None, namespace: str | None, every: bool = False) -> Connection:
    """The cluster that the options mean."""
    from pretrain_cli.cluster.connection import connect

    return connect(kubeconfig or "", context or "", namespace or "", every)


def connected_for(target: str, kubeconfig: str | None, context: str | None, namespace: str | None) -> Connection:
    """The same for a command whose target may as well be a run on this machine: without a cluster it was perhaps meant."""
    try:
        return connected(kubeconfig, context, namespace)
    except UserError as error:
        if error.code != "no-kubeconfig":
            raise
        here = f"Of a run on this machine, write its job file or its folder: ./{target}."
        raise UserError(error.code, error.where, error.what, f"{error.instead} {here}") from None


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A duration in seconds: 90s, 5m, 1h30m."""
    from pretrain_cli.cluster.waiting import seconds

    try:
        return seconds(value) if value is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def checked_names(names: tuple[str, ...], every: bool, selector: str | None) -> None:
    """Exactly one way to say which jobs are meant. Raises click's UsageError otherwise."""
    said = [bool(names), every, bool(selector)]
    if sum(said) == 0:
        raise click.UsageError("Which jobs? Write names, --all or -l LABELS.")
    if sum(said) > 1:
        raise click.UsageError("Write either names, --all or -l LABELS.")


def each(names: tuple[str, ...], work: Callable[[str], None]) -> list[UserError]:
    """Do it for every name; a mistake about one does not keep the others from it."""
    errors = []
    for name in dict.fromkeys(names):
        try:
            work(name)
        except UserError as error:
            say(str(error))
            errors.append(error)
    return errors
