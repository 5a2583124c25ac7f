"""Whether the committed steps of a run are 1, 2, 3 ... up to the newest checkpoint, each once."""

from dataclasses import dataclass

from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.reporting.history import read_steps
from pretrain_trainer.training.commit_log import read_log


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    steps: int
    """Steps of the newest commit."""
    differences: list[str]


def audit(storage: Storage) -> Audit:
    """Audit the training that committed last. Raises UserError where none has."""
    log = read_log(storage)
    if not log:
        raise UserError(
            "no-checkpoints",
            storage.uri(),
            "no training has committed here.",
            "Give the spec.storage.uri of a run that has a checkpoint.",
        )
    commits = [commit for commit in log if commit.fingerprint == log[-1].fingerprint]
    found = [step["step"] for step in read_steps(storage, commits)]
    wanted = list(range(1, commits[-1].step + 1))
    if found == wanted:
        return Audit(len(wanted), [])
    first = next(
        (i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), min(len(found), len(wanted))
    )
    there = f"step {found[first]}" if first < len(found) else "nothing"
    due = f"step {wanted[first]}" if first < len(wanted) else "nothing"
    return Audit(len(wanted), [f"where {due} is due, the committed history has {there}"])
