"""A run of MLflow, in a folder or on the server that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from pretrain_api.types import PretrainJob
from pretrain_trainer.tracking.tracker import Step, settings

_DEFAULT_PROJECT = "pretrain"
_STORAGE = "pretrain.storage"
"""Tag by which another export finds the run."""
_COMMIT = "pretrain.commit"
"""Tag with the newest commit whose steps are all there."""
_MOST_METRICS, _MOST_PARAMETERS, _LONGEST_VALUE = 1000, 100, 6000
"""What MLflow takes in one request, and characters of a parameter."""


class MLflow:
    """One run of the experiment, which another export goes on with."""

    def __init__(self, folder: Path, job: PretrainJob, project: str) -> None:
        server = os.environ.get("MLFLOW_TRACKING_URI", "")
        # MLflow 3 asks whoever writes into a folder to say that a database would not do.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._client = MlflowClient(tracking_uri=server or (folder / "mlruns").absolute().as_uri())
        name = project or _DEFAULT_PROJECT
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        query = f"tags.`{_STORAGE}` = '{job.spec.storage.uri}'"
        if found := self._client.search_runs([number], query, max_results=1):
            self._id = found[0].info.run_id
            return
        self._id = self._client.create_run(
            number, run_name=job.metadata.name, tags={_STORAGE: job.spec.storage.uri}
        ).info.run_id
        parameters = [Param(key, str(value)[:_LONGEST_VALUE]) for key, value in settings(job).items()]
        for first in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(self._id, params=parameters[first : first + _MOST_PARAMETERS])

    def newest_commit(self) -> int:
        return int(self._client.get_run(self._id).data.tags.get(_COMMIT, 0))

    def add(self, commit: int, steps: Sequence[Step]) -> None:
        metrics = [
            Metric(name, value, round(1000 * step.time), step.number)
            for step in steps
            for name, value in step.figures.items()
        ]
        for first in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._id, metrics=metrics[first : first + _MOST_METRICS])
        self._client.set_tag(self._id, _COMMIT, commit)

    def close(self, state: str) -> None:
        self._client.set_tag(self._id, "pretrain.state", state)
        ended = {"Succeeded": "FINISHED", "Failed": "FAILED"}
        self._client.set_terminated(self._id, ended.get(state, "RUNNING"))
