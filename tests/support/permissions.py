"""What somebody may do, as `kubectl auth can-i --list` tells it."""

from support.cluster.kubectl import Kubectl

_HEAD = "Resources Non-Resource URLs Resource Names Verbs"


def allowed(kubectl: Kubectl, user: str, namespace: str) -> str:
    """What a user may do in a namespace, without what everyone may."""
    everyone = _lines(kubectl, "system:serviceaccount:default:nobody", namespace)
    head, *own = [line for line in _lines(kubectl, user, namespace) if line == _HEAD or line not in everyone]
    return "\n".join([f"# {user} in namespace {namespace}", head, *sorted(own), ""])


def _lines(kubectl: Kubectl, user: str, namespace: str) -> list[str]:
    said = kubectl("auth", "can-i", "--list", "-n", namespace, "--as", user)
    return [" ".join(line.split()) for line in said.splitlines()]
