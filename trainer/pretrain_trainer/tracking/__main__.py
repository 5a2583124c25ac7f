"""`python -m pretrain_trainer.tracking --storage URI --to TOOL --folder FOLDER`: the steps of a run for a tool."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from pretrain_api.errors import EXIT_OK, UserError
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.command_program import answer, exit_code, on_storage
from pretrain_trainer.reporting.records import RunRecords, find
from pretrain_trainer.terminal import say
from pretrain_trainer.tracking.exporting import export
from pretrain_trainer.tracking.tracker import Tracker

TOOLS = ("tensorboard", "wandb", "mlflow")
"""Each is an extra of the package, too."""


def main() -> int:
    """Export and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer.tracking", description=__doc__)
    parser.add_argument("--storage", required=True, help="the run's spec.storage.uri")
    parser.add_argument("--endpoint-url", default="", help="the run's spec.storage.endpointUrl")
    parser.add_argument("--job", default="", help="file with the job and its status, instead of the run's status.json")
    parser.add_argument("--to", choices=TOOLS, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--project", default="", help="of wandb; the experiment of mlflow")
    parser.add_argument("--follow", action="store_true", help="until the run has ended")
    options = parser.parse_args()
    return exit_code(lambda: on_storage(options.storage, options.endpoint_url, lambda found: _exported(found, options)))


def _exported(storage: Storage, options: argparse.Namespace) -> int:
    def look() -> RunRecords:
        job = PretrainJob.model_validate_json(Path(options.job).read_bytes()) if options.job else None
        return find(storage, job)

    newest = 0

    def told(step: int) -> None:
        nonlocal newest
        newest = step
        if options.follow:
            say(f"step {step}")

    export(look, _tracker(options, look().job), follow=options.follow, told=told)
    answer([f"{options.folder}: up to step {newest}" if newest else f"{options.folder}: no new steps"])
    return EXIT_OK


def _tracker(options: argparse.Namespace, job: PretrainJob) -> Tracker:
    """Raises UserError where the tool's library is not installed, or the folder takes no files."""
    try:
        if options.to == "tensorboard":
            from pretrain_trainer.tracking.to_tensorboard import TensorBoard

            return TensorBoard(_writable(options.folder), job)
        if options.to == "wandb":
            from pretrain_trainer.tracking.to_wandb import WeightsAndBiases

            return WeightsAndBiases(_writable(options.folder), job, options.project)
        from pretrain_trainer.tracking.to_mlflow import MLflow

        has_server = bool(os.environ.get("MLFLOW_TRACKING_URI"))
        return MLflow(options.folder if has_server else _writable(options.folder), job, options.project)
    except ImportError as error:
        instead = f"Install it: pip install 'pretrain-operator[trainer,{options.to}]'."
        raise UserError("tracker-not-installed", f"--to {options.to}", f"{error}.", instead) from None


def _writable(folder: Path) -> Path:
    """The folder, made if need be. The tools' own errors would not say whose folder it is."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        what = f"{folder} takes no files: {error.strerror}."
        raise UserError("target-not-empty", "--folder", what, "Name a folder that you may write.") from None


if __name__ == "__main__":
    sys.exit(main())
