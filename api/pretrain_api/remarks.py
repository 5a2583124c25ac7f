"""What is allowed and still worth a word: settings without effect, figures that will be missing. Never an error."""

from collections.abc import Iterator

from pretrain_api.nouns import counted
from pretrain_api.problems import path_text
from pretrain_api.run_length import run_length
from pretrain_api.types import PretrainJob
from pretrain_api.types.data import DocumentFields
from pretrain_api.types.training import Evaluation, Schedule


def remarks(job: PretrainJob) -> Iterator[str]:
    """One sentence per remark, beginning with the field."""
    spec = job.spec
    schedule, steps = spec.training.schedule, run_length(spec.training).steps
    if schedule.decay != "wsd" and schedule.decay_fraction != Schedule().decay_fraction:
        yield f"spec.training.schedule.decayFraction has no effect: decay is {schedule.decay}, not wsd."
    if spec.data.validation.fraction == 0:
        yield "spec.data.validation.fraction is 0: there will be no losses on held-out text."
    elif spec.evaluation.every_steps >= steps and spec.evaluation.every_steps != Evaluation().every_steps:
        yield f"spec.evaluation.everySteps is {spec.evaluation.every_steps}: the run has {counted(steps, 'step')}, so it is evaluated only at the end."
    for i, source in enumerate(spec.data.sources):
        if source.format in ("text", "warc") and source.fields != DocumentFields():
            where = path_text(("spec", "data", "sources", i, "fields"))
            yield f"{where} has no effect: files of format {source.format} have no fields."
    tokenizer = spec.tokenizer.train if spec.tokenizer else None
    if tokenizer and tokenizer.vocab_size > 65_536:
        yield f"spec.tokenizer.train.vocabSize is {tokenizer.vocab_size}: above 65536, tokens take four bytes on disk instead of two."
