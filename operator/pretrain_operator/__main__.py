"""`python -m pretrain_operator`: the operator's process. Flags, logs and Python's own settings; what it does is in `shell`."""

import asyncio
import gc
import json
import logging
import sys
from datetime import UTC, datetime

import click

from pretrain_api.errors import EXIT_USER_ERROR, UserError
from pretrain_operator.shell.settings import OperatorSettings

_LEVELS = ("debug", "info", "warning", "error")


class _JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


@click.command(
    context_settings={"auto_envvar_prefix": "PRETRAIN_OPERATOR", "show_default": True, "max_content_width": 110},
    epilog="""\b
Examples:
  python -m pretrain_operator --trainer-image registry.example.com/pretrain-trainer:0.1.0
  python -m pretrain_operator --trainer-image IMAGE --namespace research --namespace lab
  python -m pretrain_operator --trainer-image IMAGE --no-leader-election --log-level debug

\b
Each flag is also an environment variable: PRETRAIN_OPERATOR_TRAINER_IMAGE for --trainer-image. The cluster is that of
KUBECONFIG, or of ~/.kube/config, or of the pod's service account.""",
)
@click.option("--trainer-image", required=True, metavar="IMAGE", help="Image of the pods that the stages run in.")
@click.option(
    "--image-pull-policy",
    type=click.Choice(["Always", "IfNotPresent", "Never"]),
    default="IfNotPresent",
    help="Pull policy of these pods.",
)
@click.option(
    "--image-pull-secret",
    "image_pull_secrets",
    multiple=True,
    metavar="SECRET",
    envvar="PRETRAIN_OPERATOR_IMAGE_PULL_SECRET",
    help="Secret of each job's namespace with which nodes pull the image; may be given again.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAMESPACE",
    envvar="PRETRAIN_OPERATOR_NAMESPACE",
    help="Serve this namespace only; may be given again. Omitted: all.",
)
@click.option("--metrics-address", default="0.0.0.0:8080", metavar="HOST:PORT", help="Where /metrics is served.")
@click.option("--health-address", default="0.0.0.0:8081", metavar="HOST:PORT", help="Where /healthz and /readyz are.")
@click.option("--leader-election/--no-leader-election", default=True, help="Whether to wait for the Lease.")
@click.option("--lease-namespace", default="", metavar="NAMESPACE", help="Namespace of the Lease. Omitted: this pod's.")
@click.option("--qps", type=click.FloatRange(min=1), default=100.0, help="Requests a second to the API server.")
@click.option("--burst", type=click.IntRange(min=1), default=200, help="Requests at once.")
@click.option(
    "--request-timeout",
    type=click.FloatRange(min=1),
    default=30.0,
    metavar="SECONDS",
    help="How long the API server may take for an answer before the request is sent again.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of the log lines.")
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", help="Least level that is logged.")
@click.version_option(package_name="pretrain-operator")
def main(log_format: str, log_level: str, **flags: object) -> None:
    """Run the PretrainJobs of a cluster."""
    _log(log_format, log_level)
    from pretrain_operator.shell.operator import serve

    _collect_rarely()
    try:
        code = asyncio.run(serve(OperatorSettings(**flags)))  # type: ignore[arg-type]
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        code = EXIT_USER_ERROR
    sys.exit(code)


def _collect_rarely() -> None:
    """Python's collector for cycles walks, by default every few seconds of work, through all that lives: a second or more
    with thousands of pods, in which nobody reacts. What was imported is left out, and only what cannot be freed
    otherwise makes it walk: the first generation counts what was made and not freed since.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def _log(form: str, level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(
        _JsonLines() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in ("kopf", "aiohttp.access", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


if __name__ == "__main__":
    main(prog_name="python -m pretrain_operator")
