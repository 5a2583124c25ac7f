"""Which checkpoints are not needed any more, and whose business it is to remove them. Decides only.

A start removes nothing that another one may go on from: the newest `keepLast` of the whole checkpoints stay, and it looks
whether a newer start has come before it decides. It may still be frozen in between, and remove later what it decided on
then. Each of that has `keepLast` whole ones behind it that lie before the newer start's fence, so that one can go on although
all of them but one are damaged: this is the grace of collection, in checkpoints instead of seconds
(tests/unit/trainer/training/test_log_safety.py explores it).
"""

from collections.abc import Container, Generator, Iterable, Sequence

from pretrain_api.commits import Commit
from pretrain_trainer.training.log_protocol import Answer, Fenced, Found, Read


def superseded(
    newest: Commit, commits: Sequence[Commit], damaged: Container[int], keep_last: int, keep_every_steps: int
) -> Generator[Read, Answer, list[Commit]]:
    """The commits to remove the payloads of, once `newest` is in the log as the last of them. None where a newer start has
    come: what stays is its business. `damaged`: sequence numbers of those that count for nothing."""
    # To ask whether the slot exists would list the log.
    if (yield Read(newest.sequence + 1)) is not Found.NOTHING:
        return []
    stay = kept([c for c in commits if c.sequence not in damaged], keep_last, keep_every_steps)
    return [c for c in commits if c.data not in stay]


def kept(commits: Sequence[Commit], keep_last: int, keep_every_steps: int) -> set[str]:
    """Payload folders that stay: of the newest `keep_last` commits and of the first commit in each interval of steps."""
    newest_first = sorted(commits, key=lambda c: c.sequence, reverse=True)
    stay = {commit.data for commit in newest_first[:keep_last]}
    if keep_every_steps:
        first_in_interval: dict[int, Commit] = {}
        for commit in reversed(newest_first):
            first_in_interval.setdefault(commit.step // keep_every_steps, commit)
        stay |= {commit.data for commit in first_in_interval.values() if commit.step >= keep_every_steps}
    return stay


def abandoned(folders: Iterable[str], fenced: Fenced) -> list[str]:
    """Payload folders of starts before this one that no record names: their writers died before the commit, and can never
    commit again. Those of later starts are not this one's business, however long it was frozen behind its fence. None where a
    record cannot be read, which may name any of them."""
    if not fenced.is_whole:
        return []
    named = {record.data.rsplit("/", 1)[-1] for record in fenced.records if isinstance(record, Commit)}
    return [folder for folder in folders if folder not in named and 0 < _generation_of(folder) < fenced.generation]


def _generation_of(folder: str) -> int:
    """Of the start that wrote a payload `<step>-<generation>-<nonce>`; 0 for a folder of another kind."""
    parts = folder.split("-")
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else 0
