"""Work on many items with all cores, in order, with bounded memory."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from pretrain_api.errors import PretrainError
from pretrain_trainer.context import StageContext
from pretrain_trainer.cores import usable_cores
from pretrain_trainer.process import leave_signals_to_parent

_BYTES_PER_PROCESS = 2_000_000
"""Of text. With 2 MB in all, Prepare and Encode take as long with one process as with two, which have to start first."""
Item = TypeVar("Item")
Result = TypeVar("Result")


class Stoppable(Protocol):
    """Whoever wants the results, and may want no more."""

    def check_stopping(self) -> None:
        """Raise Stopped when the work should end."""


class WorkerProcessLost(PretrainError):
    """A process of the pool ended without an answer: killed, or out of memory."""

    kind = "ProcessLost"


def processes(context: StageContext, items: int, size_bytes: int) -> int:
    """How many processes are to work on so many items of so many bytes in all, 1 or more.

    As many as the caller of the program says (a pod's `parallelism` counts pods), else
    `spec.data.prepare.parallelism`, where 0 means the cores this process may use; but no more than there is work for.
    """
    most = context.processes or context.spec.data.prepare.parallelism or usable_cores()
    return max(1, min(most, items, -(-size_bytes // _BYTES_PER_PROCESS)))


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], processes: int, context: Stoppable
) -> Iterator[Result]:
    """Results of `function` for each item, in the order of the items, computed by a pool of spawned processes.

    At most two items per process are taken ahead. An error of `function` comes out here, once the results before it
    were taken; what was not yet begun is dropped. Raises Stopped between two results when the stage should stop.
    """
    if processes == 1:
        for item in items:
            context.check_stopping()
            yield function(item)
        return
    spawn = multiprocessing.get_context("spawn")  # fork would copy the threads' locks of arrow and fsspec
    pool = ProcessPoolExecutor(processes, mp_context=spawn, initializer=leave_signals_to_parent)
    ahead: deque[Future[Result]] = deque()
    source = iter(items)
    try:
        while True:
            while len(ahead) < 2 * processes:
                try:
                    ahead.append(pool.submit(function, next(source)))
                except StopIteration:
                    break
            if not ahead:
                return
            context.check_stopping()
            yield ahead.popleft().result()
    except BrokenProcessPool as error:
        raise WorkerProcessLost("a process of the stage was killed, or ran out of memory") from error
    finally:
        for process in list((pool._processes or {}).values()) if ahead else ():
            process.kill()  # what they are at has no reader any more; kill_workers() comes with Python 3.14
        pool.shutdown(wait=True, cancel_futures=True)
