"""`/metrics` of one `pretrain run`: what the operator says of a job, and what the job's ranks measure."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from pretrain_api.errors import UserError
from pretrain_api.metrics import OfProcesses, served
from pretrain_api.types import PretrainJob, PretrainJobStatus
from pretrain_operator.metrics.jobs import JobFigures


@dataclass(frozen=True)
class Scraped:
    """The endpoint while it is open."""

    job: PretrainJob
    folder: Path
    """Where the ranks write."""
    figures: JobFigures
    port: int

    def show(self, status: PretrainJobStatus) -> None:
        """The newest status."""
        self.figures.show((self.job.metadata.namespace, self.job.metadata.name), status, self.job.spec)


@contextlib.contextmanager
def scraped(job: PretrainJob, folder: Path, port: int) -> Iterator[Scraped]:
    """Serve for as long as the block runs, from an empty folder. Raises UserError where the port is taken."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    registry, figures = CollectorRegistry(), JobFigures()
    registry.register(figures)
    OfProcesses(registry, folder)
    with contextlib.ExitStack() as stack:
        try:
            bound = stack.enter_context(served(registry, port))
        except OSError as error:
            raise UserError(
                "metrics-port",
                f"--metrics-port {port}",
                f"nothing can be served there ({error.strerror}).",
                "Give another port, or 0 for one that is free.",
            ) from None
        yield Scraped(job, folder, figures, bound)
