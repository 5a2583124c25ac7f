"""Making a job in the cluster, or changing it."""

from pretrain_api.errors import UserError
from pretrain_cli.cluster import jobs, submission
from pretrain_cli.cluster.connection import ApiRefusal, Connection, Json
from pretrain_cli.cluster.waiting import ENDED


def applied(connection: Connection, manifest: Json, origin: str, dry_run: bool, force: bool) -> tuple[Json, str]:
    """The job as it is now, and what happened to it. A change of a job that has ended is refused: it has no effect."""
    name = manifest["metadata"]["name"]
    before = jobs.find(connection, name)
    state = jobs.status(before).state if before else ""
    try:
        made, is_new = jobs.apply(connection, manifest, dry_run or state in ENDED, force)
    except ApiRefusal as refusal:
        raise submission.refusal(refusal, origin, name, connection.namespace) from None
    is_changed = before is None or made["metadata"].get("generation") != before["metadata"].get("generation")
    if is_changed and state in ENDED:
        instead = f"`pretrain delete {name}` first, or give the job another name and spec.storage.uri."
        what = f"it has {state.lower()}, so a change has no effect."
        raise UserError("job-ended", f"{jobs.KIND}/{name}", what, instead)
    verb = "created" if is_new else "changed" if is_changed else "unchanged"
    return made, f"{verb} (server dry run)" if dry_run else verb
