"""What of a job has no effect on a single machine: `pretrain run` names it and leaves it aside."""

from collections.abc import Callable, Iterator

from pretrain_api.nouns import counted
from pretrain_api.problems import Path, path_text
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.workers import WorkerTemplate

Row = tuple[Path, Callable[[PretrainJobSpec], object], str]
"""Field below spec, whether the job asks for it, and why it has no effect."""

ONLY_IN_A_CLUSTER: tuple[Row, ...] = (
    (("storage", "secretRef"), lambda s: s.storage.secret_ref,
     "credentials come from the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    (("workers", "resources"), lambda s: s.workers.resources.limits or s.workers.resources.requests,
     "the stages take what this machine has"),
    (("workers", "template"), lambda s: s.workers.template != WorkerTemplate(), "nothing here is a pod"),
    (("scheduling", "queueName"), lambda s: s.scheduling.queue_name, "nothing here is queued"),
    (("scheduling", "gang"), lambda s: s.scheduling.gang, "nothing here is a pod"),
    (("scheduling", "priorityClassName"), lambda s: s.scheduling.priority_class_name, "nothing here is a pod"),
    (("ttlSecondsAfterFinished",), lambda s: s.ttl_seconds_after_finished is not None,
     "the folder of storage.uri is deleted by hand"),
)  # fmt: skip


def left_aside(spec: PretrainJobSpec, room: int) -> Iterator[str]:
    """A sentence for each field that has no effect on a single machine, which has room for so many workers."""
    if spec.workers.max > room:
        yield f"spec.workers.max: this machine has room for {counted(room, 'worker')}."
    if spec.workers.spares and room == 1:
        yield "spec.workers.spares has no effect here: one worker trains, as one program."
    for path, asked_for, why in ONLY_IN_A_CLUSTER:
        if asked_for(spec):
            yield f"{path_text(('spec', *path))} has no effect here: {why}."
