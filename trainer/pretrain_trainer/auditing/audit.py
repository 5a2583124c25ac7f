"""One audit: the commits, the lines, the order, the shards; in this order, and as far as each allows the next."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pretrain_api.commits import Commit
from pretrain_api.ledger import DataOrder
from pretrain_api.storage import Storage
from pretrain_trainer.auditing import contents, ledger, lineage, stand_ins
from pretrain_trainer.auditing.findings import Difference
from pretrain_trainer.auditing.sources import Source
from pretrain_trainer.data.order import Mixture

_SHOWN = 100
"""Differences that are kept; where there are more, the first ones tell enough."""


@dataclass
class Audit:
    """What was audited and what was found."""

    fingerprint: str
    commits: int
    starts: int
    steps: int
    samples: int
    weights: int
    """How many weights held one after the other."""
    skipped_steps: int = 0
    stand_ins: int = 0
    samples_read: int = 0
    """Samples whose digest was computed again from the shards."""
    found: int = 0
    differences: tuple[Difference, ...] = ()
    """The first ones."""

    def as_json(self) -> dict[str, Any]:
        return {
            "clean": not self.found,
            "fingerprint": self.fingerprint,
            "commits": self.commits,
            "starts": self.starts,
            "steps": self.steps,
            "samples": self.samples,
            "weights": self.weights,
            "skippedSteps": self.skipped_steps,
            "standIns": self.stand_ins,
            "samplesRead": self.samples_read,
            "differencesFound": self.found,
            "differences": [difference.as_json() for difference in self.differences],
        }


Told = Callable[[int, int], None]
"""Called with how many bytes more are done and how many there are in all."""


def audit(storage: Storage, share: float = 1.0, told: Told = lambda amount, total: None) -> Audit:
    """Audit the training that committed last; of its steps' contents, a share. Raises UserError where there is none."""
    line = lineage.read(storage)
    newest = line.commits[-1]
    result = Audit(
        fingerprint=newest.fingerprint,
        commits=len(line.commits),
        starts=len({commit.generation for commit in line.commits}),
        steps=newest.step,
        samples=newest.samples,
        weights=len(newest.segments),
    )
    differences = line.differences
    order = ledger.read_order(storage, newest.fingerprint)
    if isinstance(order, Difference):
        differences.append(order)
    else:
        checked = ledger.check_lines(ledger.read_lines(storage, line.commits), order, line.commits)
        differences += checked.differences
        result.skipped_steps = sum(each.skipped for each in checked.lines.values())
        result.stand_ins = sum(len(each.read.stand_ins) for each in checked.lines.values())
        opened = list(contents.sources(storage, order))
        sources = [found for found in opened if not isinstance(found, Difference)]
        differences += [found for found in opened if isinstance(found, Difference)]
        if order.global_batch_size * newest.step != newest.samples:
            differences.append(
                Difference(
                    f"order.json has batches of {order.global_batch_size} samples where {newest.samples} samples were read "
                    f"in {newest.step} steps"
                )
            )
        else:
            differences += _of_order(storage, order, newest, checked.lines, sources, share, result, told)
    result.found, result.differences = len(differences), tuple(differences[:_SHOWN])
    return result


def _of_order(
    storage: Storage,
    order: DataOrder,
    newest: Commit,
    lines: dict[int, ledger.Line],
    sources: list[Source],
    share: float,
    result: Audit,
    told: Told,
) -> list[Difference]:
    try:
        mix = ledger.mixture(order, newest.segments)
        differences = list(ledger.check_sources(lines, order, mix, newest.segments))
    except (ValueError, IndexError) as error:
        return [Difference(f"the order that the ledger describes cannot be: {error}")]
    differences += stand_ins.check(storage, order, mix, lines.values())
    if len(sources) < len(order.sources):
        return differences  # what the shards hold cannot be told from some of them
    return differences + _contents(order, mix, lines, sources, share, result, told)


def _contents(
    order: DataOrder,
    mix: Mixture,
    lines: dict[int, ledger.Line],
    sources: list[Source],
    share: float,
    result: Audit,
    told: Told,
) -> list[Difference]:
    differences: list[Difference] = []
    steps = contents.chosen_steps(sorted(lines), share)
    together = max(1, contents.PASS_SAMPLES // order.global_batch_size)
    passes = [steps[begin : begin + together] for begin in range(0, len(steps), together)]
    total = len(passes) * sum(source.size for source in sources)

    def advance(amount: int) -> None:
        told(amount, total)

    reported = set[Difference]()
    for some in passes:
        part = contents.Contents([lines[step] for step in some], order, mix)
        for number, source in enumerate(sources):
            for difference in part.add_source(number, source, advance):
                if difference not in reported:  # a damaged shard is met in each pass
                    reported.add(difference)
                    differences.append(difference)
        differences += part.differences(sources)
        result.samples_read += part.samples
    return differences
