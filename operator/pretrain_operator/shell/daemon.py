"""One job's daemon: waits for a wake-up, reconciles, tells what happened. Wake-ups that come together count as one."""

import asyncio
import contextlib
import logging

from pretrain_api import jitter
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.bodies.body import reconcile_remote
from pretrain_operator.bodies.kubernetes.apply import ForeignObject
from pretrain_operator.bodies.kubernetes.body import KubernetesBody, Outdated
from pretrain_operator.bodies.kubernetes.client import ApiError, Manifest
from pretrain_operator.brain import plan, recoveries
from pretrain_operator.brain.plan import Decision
from pretrain_operator.metrics import Metrics, exemplar
from pretrain_operator.shell.events import EventWriter
from pretrain_operator.tracing import UNTRACED, Span, Traces

_LEAST_SECONDS = 0.05
"""Between two reconciles of one job, so that a burst of events costs one."""
_LONGEST_SECONDS = 600.0
"""At the latest then a job is looked at again, should an event have been lost."""
_OUTDATED_SECONDS = 0.5
_SOON = 4
"""So often a picture that is out of date is looked at again soon; then at ever longer intervals, as events wake it too."""
_LONGEST_PAUSE_SECONDS = 30.0
_LOG = logging.getLogger(__name__)


class Daemon:
    """The task of one PretrainJob, from its first sight to its end."""

    def __init__(self, body: KubernetesBody, events: EventWriter, metrics: Metrics, traces: Traces = UNTRACED) -> None:
        self._body, self._events, self._metrics, self._traces = body, events, metrics, traces
        self._wake = asyncio.Event()
        self._wake.set()
        self._faults = self._outdated = 0
        self._trace = ""
        """That of the newest reconcile."""
        self._task = asyncio.create_task(self._run(), name=f"job {'/'.join(self._body.key)}")

    @property
    def uid(self) -> str:
        return self._body.uid

    def see(self, manifest: Manifest) -> None:
        """Take in a version of the job and look at it."""
        if manifest["metadata"]["uid"] != self._body.uid:
            self._body = KubernetesBody(self._body.around, manifest)
        self._body.see(manifest)
        self._wake.set()

    def wake(self) -> None:
        """Something of the job changed."""
        self._wake.set()

    async def stop(self) -> None:
        """End the task; a step that has begun may be left half done, which is no harm."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._metrics.jobs.forget(self._body.key)

    async def _run(self) -> None:
        wait = 0.0
        while True:
            # Not wait_for: in Python 3.11 it loses a cancellation that comes together with a wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            self._wake.clear()
            begin = asyncio.get_running_loop().time()
            wait = await self._reconciled()
            seconds = asyncio.get_running_loop().time() - begin
            self._metrics.reconciled(seconds, exemplar(self._body.key, self._trace))
            # A job of thousands of pods leaves as much time to the others as it takes.
            await asyncio.sleep(max(_LEAST_SECONDS, min(1.0, seconds)))

    async def _reconciled(self) -> float:
        """Look and act once. Gives the seconds until the next look if nothing happens."""
        body, before = self._body, self._body.recorded()
        name = "/".join(body.key)
        try:
            decision = await self._step(body)
        except (Outdated, ForeignObject) as error:
            _LOG.info("%s: %s; looking again", name, error)
            self._outdated += 1
            wait = min(_LONGEST_PAUSE_SECONDS, _OUTDATED_SECONDS * (1 << min(10, max(0, self._outdated - _SOON))))
        except ApiError as error:
            self._faults += 1
            wait = jitter.between(0.5, 1) * min(_LONGEST_PAUSE_SECONDS, 0.5 * 2**self._faults)
            _LOG.warning("%s: %s; again in %.1f s", name, error, wait)
        except Exception:  # noqa: BLE001 - a border
            # One job that cannot be handled must not end the others; the error is shown, counted and met again.
            self._faults += 1
            self._metrics.errors.inc()
            wait = _LONGEST_PAUSE_SECONDS
            _LOG.exception("%s: this is a defect of the operator; again in %.0f s", name, wait)
        else:
            self._faults = self._outdated = 0
            seconds = decision.look_again_seconds
            wait = _LONGEST_SECONDS if seconds is None else min(seconds, _LONGEST_SECONDS)
        try:
            await self._tell(body, before)
        except Exception:  # noqa: BLE001 - a border, as above: what cannot be told must not end the task
            self._metrics.errors.inc()
            _LOG.exception("%s: what happened could not be told; this is a defect of the operator", name)
        return wait

    async def _step(self, body: KubernetesBody) -> Decision:
        with self._traces.reconcile(body.key, body.uid) as span:
            self._trace = self._traces.at_work()
            await body.hold()
            await body.prepare()
            return await reconcile_remote(body, body.wanted, lambda decision: _traced(decision, span))

    async def _tell(self, body: KubernetesBody, before: PretrainJobStatus) -> None:
        """Events and figures, of what was written and of nothing else."""
        after = body.recorded()
        self._metrics.jobs.show(body.key, after, body.wanted)
        if after != before:
            trace = self._trace
            for recovery in recoveries.between(before, after):
                trace = self._traces.recovered(body.key, body.uid, recovery)
            self._metrics.happened(before, after, exemplar(body.key, trace))
            await self._events.tell(body.reference, before, after)


def _traced(decision: Decision, span: Span) -> None:
    span.set_attribute("pretrain.job.state", decision.recorded.state)
    span.set_attribute("pretrain.job.stage", decision.recorded.stage)
    span.set_attribute("pretrain.decision", [plan.named(action) for action in decision.actions])
    if decision.look_again_seconds is not None:
        span.set_attribute("pretrain.look_again_seconds", decision.look_again_seconds)
