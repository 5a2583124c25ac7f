"""The Train stage in one process, one rank, watched in every other step: seconds of its steps with and without meters."""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from ours import context

from pretrain_trainer.progress import Progress
from pretrain_trainer.stages import train
from pretrain_trainer.training import watched
from pretrain_trainer.training.watched import Nobody, Watch


class Alternating:
    """The watches by turns, pair by pair: watched, plain, plain, watched, and so on. A step goes from the end of what the
    watch does about one to the end of what it does about the next."""

    ORDER = ("watched", "plain", "plain", "watched")

    def __init__(self, watch: Watch) -> None:
        self._watches: dict[str, Watch] = {"watched": watch, "plain": Nobody()}
        self._steps = 0
        self.seconds: dict[str, list[float]] = {name: [] for name in self._watches}
        self.cpu_seconds: dict[str, list[float]] = {name: [] for name in self._watches}
        self._began = time.perf_counter(), time.process_time()

    @property
    def _name(self) -> str:
        return self.ORDER[self._steps % len(self.ORDER)]

    def at(self, phase: str) -> AbstractContextManager[None]:
        return self._watches[self._name].at(phase)

    def stepped(self, training: Any, figures: Any, told: Mapping[str, float]) -> None:
        self._watches[self._name].stepped(training, figures, told)
        now = time.perf_counter(), time.process_time()
        self.seconds[self._name].append(now[0] - self._began[0])
        self.cpu_seconds[self._name].append(now[1] - self._began[1])
        self._steps += 1
        self._began = now


def main() -> None:
    """Train, and print the seconds as JSON. Arguments as of `ours.context`."""
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print must not mix with the figures
    watches: list[Alternating] = []
    of_rank = watched.of_rank

    def alternating(*arguments: Any) -> Alternating:
        watch = of_rank(*arguments)
        assert isinstance(watch, watched.Watched), "nobody watches"
        watches.append(Alternating(watch))
        return watches[-1]

    watched.of_rank = alternating
    train.run(context(Progress("Train", path="")))
    [watch] = watches
    print(json.dumps({"seconds": watch.seconds, "cpuSeconds": watch.cpu_seconds}), file=out)


if __name__ == "__main__":
    main()
