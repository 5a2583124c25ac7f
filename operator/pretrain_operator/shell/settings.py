"""What the operator's flags say, in one value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OperatorSettings:
    """The settings of an operator's process."""

    trainer_image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    """Empty: all."""
    metrics_address: str = "0.0.0.0:8080"
    health_address: str = "0.0.0.0:8081"
    leader_election: bool = True
    lease_namespace: str = ""
    """Empty: the operator's own."""
    qps: float = 100.0
    burst: int = 200
    request_timeout: float = 30.0
    """Seconds."""
