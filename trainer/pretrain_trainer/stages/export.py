"""Export: the trained model as a Hugging Face folder with its model card, compared with the trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from pretrain_api import layout, objectives
from pretrain_api.nouns import counted
from pretrain_api.stages import Stage
from pretrain_trainer import models
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.data import opened
from pretrain_trainer.data.mixture import read_manifests
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.evaluation import texts, trained
from pretrain_trainer.exporting import beside, folders, hugging_face
from pretrain_trainer.reporting import card, pictures, records, summary
from pretrain_trainer.stages.train import parameters_sha256

_COMPARED_IMAGES = 16
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
    files = beside.files(context.storage, context.spec, context.upstream)
    hugging_face.write(model, files, folder, settings.dtype)
    context.check_stopping()

    context.progress.update("compare", 0)
    comparison = _compared(context, loaded, model, folder)
    if settings.dtype == "float32" and comparison.parameters_sha256 != expected:
        raise hugging_face.ExportMismatch(
            f"Weights are {comparison.parameters_sha256} after reloading, not {expected}."
        )
    message = (
        f"{settings.dtype}; greatest difference to the trained model's {comparison.of} after reloading "
        f"{comparison.max_difference:.3g}, over {counted(comparison.samples, comparison.sample)}"
    )
    context.progress.update("compare", 1, message=message)

    before = records.before_export(context)
    shown = pictures.read(context.storage, summary.pictures(before))
    for picture in shown:
        (folder / picture.file).write_bytes(picture.png)
    readme = card.render(before, settings.dtype, comparison.max_difference, shown)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    written = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    context.check_stopping()
    folders.publish(context.storage, folder, layout.EXPORT_HUGGING_FACE, last=hugging_face.CONFIG)
    details = {
        "path": layout.EXPORT_HUGGING_FACE,
        "dtype": settings.dtype,
        **comparison.figures(),
        "parametersSha256": comparison.parameters_sha256,
        "files": written,
    }
    return StageResult(message=message, details=details)


def _compared(context: StageContext, loaded: trained.TrainedModel, model: Any, folder: Path) -> hugging_face.Comparison:
    """How the folder's model, loaded as users load it, differs from the trained one; ExportMismatch where it is another model."""
    auto_class = models.auto_class(context.spec)
    if objectives.learns_text(context.spec):
        sequences, text = _held_out(context)
        hugging_face.check_tokenizer(loaded.tokenizer.tokenizer, folder, text)
        return hugging_face.compare(model, auto_class, folder, sequences)
    from pretrain_trainer.evaluation.pictures import some_images  # with Pillow, which text has no use for

    places = opened.manifests(context)
    split: Literal["train", "validation"] = "validation" if any(m.validation.samples for _, m in places) else "train"
    images, captions = some_images(context, places, split, _COMPARED_IMAGES)
    objective = loaded.of_images
    if objectives.reads_text(context.spec):
        hugging_face.check_captions(loaded.objective, folder, captions)
    return hugging_face.compare_images(
        model, auto_class, folder, objective, images, objectives.image_size(context.spec)
    )


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
