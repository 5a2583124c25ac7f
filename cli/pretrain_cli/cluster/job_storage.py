"""The storage of a job in a cluster, as this machine reaches it: its address, and the keys that its pods have."""

import base64

from pretrain_api import cluster
from pretrain_api.storage import Storage
from pretrain_api.types.storage import Storage as StorageSpec
from pretrain_cli.cluster.connection import Connection


def variables(connection: Connection, spec: StorageSpec) -> dict[str, str]:
    """What the job's Secret becomes in the environment of every pod; {} without one. Raises UserError where it may not be
    read."""
    if spec.secret_ref is None:
        return {}
    place = f"/api/v1/namespaces/{connection.namespace}/secrets/{spec.secret_ref.name}"
    data = connection.read(place).get("data") or {}
    known = (*cluster.CREDENTIAL_KEYS, *cluster.OPTIONAL_CREDENTIAL_KEYS)
    return {key: base64.b64decode(value).decode() for key, value in data.items() if key in known}


def is_within_reach(spec: StorageSpec) -> bool:
    """Whether the storage has an address at all outside of the job's pods, whose volumes nobody else sees."""
    return "://" in spec.uri


def opened(connection: Connection, spec: StorageSpec) -> Storage:
    """The storage with the keys of the job's Secret, where it has one; else with this machine's own."""
    keys = variables(connection, spec)
    access, secret = (keys.get(name) for name in cluster.CREDENTIAL_KEYS)
    options = {"key": access, "secret": secret, "token": keys.get("AWS_SESSION_TOKEN")} if keys else {}
    return Storage(spec.uri, spec.endpoint_url or keys.get("AWS_ENDPOINT_URL", ""), **options)
