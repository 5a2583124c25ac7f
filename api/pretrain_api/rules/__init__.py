"""The rules between fields: one row each, checked here in Python and by an API server in CEL.

Shape and bounds of single fields live in `pretrain_api.types`.
"""

from collections.abc import Iterator

from pretrain_api.problems import Problem
from pretrain_api.rules import data, images, model, training, workers
from pretrain_api.rules.base import Rule
from pretrain_api.types import PretrainJob

RULES: tuple[Rule, ...] = (
    *data.RULES,
    *model.RULES,
    *images.RULES,
    *training.RULES,
    *workers.RULES,
)


def problems(job: PretrainJob) -> Iterator[Problem]:
    """Every rule that the job breaks, in the table's order."""
    for rule in RULES:
        yield from rule.problems(job.spec)
