"""What a job's samples are, as the stages after Encode open them: packed sequences of tokens, or images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pretrain_api import layout, objectives
from pretrain_api.image_shards import ImageManifest
from pretrain_api.shards import Manifest
from pretrain_api.stages import Stage
from pretrain_api.types.data import Source
from pretrain_trainer.data.mixture import read_manifest, read_manifests
from pretrain_trainer.data.patience import PatientReads
from pretrain_trainer.data.quarantine import NOTHING_DAMAGED, Quarantine
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.data.samples import AnySamples, Samples

if TYPE_CHECKING:
    from pretrain_api.storage import Storage
    from pretrain_api.types import PretrainJobSpec
    from pretrain_api.types.data import DataCache
    from pretrain_trainer.context import StageContext
    from pretrain_trainer.data.image_reader import ImageReader
    from pretrain_trainer.data.image_source import Split

AnyManifest = Manifest | ImageManifest
Places = Sequence[tuple[str, AnyManifest]]
"""Folder, as `Storage.at` takes it, and manifest of each source, in the job's order."""


def manifests(context: StageContext) -> Places:
    """Those of the sources, as the upstream Encode left them."""
    return read(context.storage, context.spec, context.upstream[Stage.ENCODE])


def read(storage: Storage, spec: PretrainJobSpec, encoded: str) -> Places:
    """Those of the sources, as the Encode of that identity left them."""
    if objectives.learns_text(spec):
        return list(read_manifests(storage, encoded, spec.data.sources))
    return [_images(storage, encoded, source) for source in spec.data.sources]


def reader(
    storage: Storage,
    places: Places,
    split: Split = "train",
    quarantine: Quarantine = NOTHING_DAMAGED,
    cache: DataCache | None = None,
    field: str | None = None,
) -> SampleReader | ImageReader:
    """A reader of one split. Of images, `field` names what is read beside them in place of the caption."""
    tokens = [(folder, manifest) for folder, manifest in places if isinstance(manifest, Manifest)]
    if tokens:
        return SampleReader(storage, tokens, split, quarantine, cache)
    # With Pillow, which readers of tokens have no use for.
    from pretrain_trainer.data.image_reader import ImageReader
    from pretrain_trainer.data.image_source import ImageSource

    images = [(folder, manifest) for folder, manifest in places if isinstance(manifest, ImageManifest)]
    patient = PatientReads()
    return ImageReader(
        [ImageSource.of(storage, *place, split, patient) for place in images], patient, quarantine, field
    )


def quarantine(context: StageContext) -> Quarantine:
    """That of a stage after training, which meets the broken images that training went on without."""
    return Quarantine(context.storage, context.fingerprint, context.spec.data.max_bad_records)


def blank(spec: PretrainJobSpec, samples: int) -> AnySamples:
    """Samples of the usual size, to try what they take."""
    stand_ins = np.zeros(samples, dtype=np.bool_)
    if objectives.learns_text(spec):
        tokens = np.zeros((samples, spec.training.sequence_length + 1), dtype=np.int32)
        return Samples(tokens, tokens, np.ones(tokens.shape, dtype=np.bool_), stand_ins)
    from pretrain_trainer.data.image_samples import ImageSamples

    return ImageSamples([b""] * samples, [""] * samples, ~stand_ins, lambda row, why: None)


def _images(storage: Storage, encoded: str, source: Source) -> tuple[str, ImageManifest]:
    folder = layout.shards(encoded, source.name)
    return folder, read_manifest(storage, folder, ImageManifest)
