"""Export: the trained model as a Hugging Face folder with its model card, compared with the trained model."""

from __future__ import annotations

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from pretrain_api import layout
from pretrain_api.nouns import counted
from pretrain_api.stages import Stage
from pretrain_trainer import models
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.data.mixture import read_manifests
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.evaluation import texts, trained
from pretrain_trainer.exporting import folders, hugging_face
from pretrain_trainer.reporting import card, records
from pretrain_trainer.stages.train import parameters_sha256
from pretrain_trainer.tokenizer import read_files, with_length

_COMPARED_SEQUENCES = 4
"""Of each source."""
_CHECKED_CHARACTERS = 1 << 16


def run(context: StageContext) -> StageResult:
    """Write `export/huggingface/`, whole or not at all."""
    settings = context.spec.export.hugging_face
    if settings is None:
        return StageResult(message="The job asks for no export.")
    # The bars would be all that the log of this stage holds.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    context.progress.update("load", 0)
    loaded = trained.load(context)
    model = loaded.model.to("cpu")
    expected = str(context.record(Stage.TRAIN).details["parametersSha256"])
    if (found := parameters_sha256(model)) != expected:
        raise hugging_face.ExportMismatch(f"The loaded weights are {found}, but training ended with {expected}.")

    context.progress.update("write", 0)
    folder = context.scratch / "huggingface"
    folder.mkdir()
    tokenizer_files = read_files(context.storage, layout.tokenizer(context.upstream[Stage.TOKENIZER]))
    tokenizer_files = with_length(tokenizer_files, context.spec.training.sequence_length)
    hugging_face.write(model, tokenizer_files, folder, settings.dtype)
    context.check_stopping()

    context.progress.update("compare", 0)
    sequences, text = _held_out(context)
    comparison = hugging_face.compare(model, models.auto_class(context.spec), folder, sequences)
    hugging_face.check_tokenizer(loaded.tokenizer.tokenizer, folder, text)
    if settings.dtype == "float32" and comparison.parameters_sha256 != expected:
        raise hugging_face.ExportMismatch(
            f"Weights are {comparison.parameters_sha256} after reloading, not {expected}."
        )
    message = (
        f"{settings.dtype}; greatest difference to the trained model's logits after reloading "
        f"{comparison.max_logit_difference:.3g}, over {counted(comparison.sequences, 'sequence')}"
    )
    context.progress.update("compare", 1, message=message)

    readme = card.render(records.before_export(context), settings.dtype, comparison.max_logit_difference)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    context.check_stopping()
    folders.publish(context.storage, folder, layout.EXPORT_HUGGING_FACE, last=hugging_face.CONFIG)
    details = {
        "path": layout.EXPORT_HUGGING_FACE,
        "dtype": settings.dtype,
        "maxLogitDifference": comparison.max_logit_difference,
        "sameNextTokenRatio": comparison.same_next_token_ratio,
        "comparedSequences": comparison.sequences,
        "parametersSha256": comparison.parameters_sha256,
        "files": files,
    }
    return StageResult(message=message, details=details)


def _held_out(context: StageContext) -> tuple[torch.Tensor, str]:
    """Sequences, int64 [n, length], and text to compare on: held out where there is such, else from training."""
    manifests = read_manifests(context.storage, context.upstream[Stage.ENCODE], context.spec.data.sources)
    held_out = [(folder, manifest) for folder, manifest in manifests if manifest.validation.samples]
    text = "".join(next(texts.validation_texts(context.storage, folder)) for folder, _ in held_out)
    split = "validation" if held_out else "train"
    reader = SampleReader(context.storage, held_out or manifests, split)
    places = [
        (number, index)
        for number, (_, manifest) in enumerate(held_out or manifests)
        for index in range(min(getattr(manifest, split).samples, _COMPARED_SEQUENCES))
    ]
    source, index = np.array(places, dtype=np.int64).T
    return torch.from_numpy(reader.read(source, index).tokens[:, :-1]).long(), text[:_CHECKED_CHARACTERS]
