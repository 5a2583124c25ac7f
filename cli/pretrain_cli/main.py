"""The `pretrain` command: its subcommands by name, and how errors become messages and exit codes.

What a subcommand returns is the exit code.
"""

import errno
import os
import sys
from collections.abc import Mapping, Sequence

import click

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_USER_ERROR, PretrainError, UserError
from pretrain_cli.lazy_group import LazyGroup
from pretrain_cli.standard_error import discard, lasting, say

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Jobs": {
        "validate": "Check job files without running anything.",
        "explain": "Show what a field of a PretrainJob is for.",
        "watch": "Show a job, or a run on this machine, on the whole screen.",
        "logs": "Print the logs of a job in the cluster, or of a run on this machine.",
        "report": "Write a run's report again, or serve it as a live page.",
        "track": "Write a run's steps for TensorBoard, Weights & Biases or MLflow.",
        "doctor": "Check cluster, storage and machine, with advice.",
    },
    "On this machine": {
        "run": "Run a job on this machine: from raw text to an evaluated, exported model.",
        "status": "Show how far a run is.",
    },
    "In a cluster": {
        "submit": "Make or change a job in the cluster, checked first.",
        "list": "List the jobs of a namespace.",
        "top": "Show all jobs beside each other, live.",
        "get": "Show jobs by name, in a line each or whole.",
        "describe": "Show everything about a job, its pods and events.",
        "wait": "Wait until a job has reached something.",
        "suspend": "Stop a job after a checkpoint and free its pods.",
        "resume": "Let a suspended job go on.",
        "delete": "Delete jobs; what they wrote stays.",
    },
    "Checkpoints": {
        "checkpoints": "Look at, check, compare, remove and convert what a training saved.",
    },
    "Training data": {
        "data": "Look into training data: what shards hold, what a run read, and in which order.",
        "index": "Index WebDataset tars that others wrote.",
    },
    "Shell": {
        "completion": "Print the completion script for a shell.",
    },
}
"""Title -> subcommand -> what `pretrain --help` says about it."""
COMMANDS: Mapping[str, str] = {name: said for section in SECTIONS.values() for name, said in section.items()}

_OUTPUT_LOST = (errno.EPIPE, errno.ENOSPC, errno.EIO)
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells count."""

EXAMPLES = """\b
Examples:
  pretrain validate job.yaml
  pretrain run job.yaml --set spec.storage.uri=file:///data/run
  pretrain submit job.yaml --watch
  pretrain logs gpt-small -f
  pretrain explain training.optimizer"""


@click.group(
    cls=LazyGroup,
    package="pretrain_cli.commands",
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXAMPLES,
)
@click.version_option(package_name="pretrain-operator", prog_name="pretrain")
def cli() -> None:
    """Pre-train foundation models: one PretrainJob takes raw text to an evaluated, exported model.

    The same commands work as `kubectl pretrain ...`.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 for a failure, 2 for a user's mistake, 130 for Ctrl-C."""
    _open_standard_streams()
    try:
        result = cli.main(args=arguments, prog_name=_name(sys.argv[0]), standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        say(str(error))
        return EXIT_USER_ERROR
    except PretrainError as error:
        say(f"error: {error}")
        return EXIT_FAILURE
    except click.ClickException as error:
        with lasting():
            error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except OSError as error:
        if error.errno not in _OUTPUT_LOST or error.filename is not None:
            raise
        if error.errno != errno.EPIPE:  # the reader (head, less) left: nothing to tell
            say(f"error: the output cannot be written: {os.strerror(error.errno)}")
        discard(sys.stdout)
        return EXIT_FAILURE
    return result if isinstance(result, int) else EXIT_OK


def _open_standard_streams() -> None:
    """Open those that were closed (`>&-`) on nothing. Otherwise the next file that is opened, a lock or the run's state,
    gets the number of standard output and receives what is printed."""
    for number, mode in enumerate(("r", "w", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            name = ("stdin", "stdout", "stderr")[number]
            setattr(sys, name, os.fdopen(number, mode))


def _name(program: str) -> str:
    """What help calls this program: kubectl starts its plugin under the plugin's name."""
    return "kubectl pretrain" if os.path.basename(program).startswith("kubectl-pretrain") else "pretrain"
