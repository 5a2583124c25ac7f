"""From a job and the manifests of its sources to the mixture that Train reads; says when the run needs more than it has."""

import hashlib
import posixpath
from collections.abc import Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel

from pretrain_api import layout, objectives
from pretrain_api.commits import WeightSegment
from pretrain_api.errors import UserError
from pretrain_api.image_shards import ImageManifest
from pretrain_api.ledger import DataOrder, OrderedSource
from pretrain_api.nouns import counted
from pretrain_api.shards import Manifest
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.data import Source
from pretrain_trainer.data.order import Mixture, MixtureSource, Segment
from pretrain_trainer.data.proportions import integer_shares

_Model = TypeVar("_Model", bound=BaseModel)


class Split(Protocol):
    """A part of a source."""

    @property
    def samples(self) -> int: ...


class Sampled(Protocol):
    """A source's manifest, as far as the order goes by it."""

    @property
    def train(self) -> Split: ...

    @property
    def samples_per_record(self) -> int: ...


def read_manifests(storage: Storage, fingerprint: str, sources: Sequence[Source]) -> list[tuple[str, Manifest]]:
    """Folder and manifest of each source, in the job's order, as the Encode stage of that identity left them.

    The folder is one of the storage, or the address at which another job's shards lie (`Storage.at` takes both).
    """
    found = []
    for source in sources:
        folder = layout.shards(fingerprint, source.name)
        manifest = read_manifest(storage, folder, Manifest)
        found.append((manifest.folder or folder, manifest))
    return found


def read_manifest(storage: Storage, folder: str, kind: type[_Model]) -> _Model:
    """The manifest that Encode left in a folder. Raises UserError where it is damaged or gone."""
    path = f"{folder}/{layout.MANIFEST}"
    try:
        return kind.model_validate(storage.read_json(path))
    except (ValueError, FileNotFoundError, IsADirectoryError) as error:  # not UTF-8, not JSON, or no manifest
        why = "it is not there" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
        record = layout.record(Stage.ENCODE, "")
        raise UserError(
            "manifest-broken",
            storage.uri(path),
            f"it is no manifest of shards ({why}).",
            f"Put it back from a copy of the storage, or remove {posixpath.dirname(record)} there: Encode runs again.",
        ) from error


def mixture_of(spec: PretrainJobSpec, manifests: Sequence[Sampled], segments: Sequence[WeightSegment] = ()) -> Mixture:
    """The mixture of a job; manifests in the order of the sources. Without segments, the job's weights hold throughout."""
    weights = segments[0].weights if segments else tuple(source.weight for source in spec.data.sources)
    return Mixture(
        tuple(
            MixtureSource(manifest.train.samples, weight, source.max_epochs, manifest.samples_per_record)
            for source, manifest, weight in zip(spec.data.sources, manifests, weights, strict=True)
        ),
        spec.training.seed,
        tuple(Segment(segment.start, segment.weights) for segment in segments[1:]),
    )


def segments_from(
    recorded: Sequence[WeightSegment], weights: tuple[float, ...], position: int
) -> tuple[WeightSegment, ...]:
    """The segments of a run that goes on at a position with these weights; `recorded` are those that led there.

    Weights of the same ratio as before go on without a segment of their own.
    """
    kept = [segment for segment in recorded if segment.start < position]
    if not position:
        return (WeightSegment(start=0, weights=weights),)
    if kept and integer_shares(kept[-1].weights) == integer_shares(weights):
        return tuple(kept)
    return (*kept, WeightSegment(start=position if kept else 0, weights=weights))


def data_order(storage: Storage, spec: PretrainJobSpec, fingerprint: str, encoded: str) -> DataOrder:
    """What the ledger of a training says about its order; `encoded` is the identity of the Encode stage."""
    sources = []
    for source in spec.data.sources:
        folder = layout.shards(encoded, source.name)
        content = storage.read_bytes(f"{folder}/{layout.MANIFEST}")
        manifest = (Manifest if objectives.learns_text(spec) else ImageManifest).model_validate_json(content)
        sources.append(
            OrderedSource(
                name=source.name,
                folder=folder,
                manifest_sha256=hashlib.sha256(content).hexdigest(),
                samples=manifest.train.samples,
                samples_per_record=manifest.samples_per_record,
                max_epochs=source.max_epochs,
            )
        )
    return DataOrder(
        fingerprint=fingerprint,
        seed=spec.training.seed,
        global_batch_size=spec.training.global_batch_size,
        sequence_length=objectives.tokens_per_sample(spec),
        sources=tuple(sources),
    )


def check_length(mixture: Mixture, samples: int, spec: PretrainJobSpec) -> None:
    """Raise UserError when a run of so many samples needs more than every source's maxEpochs allow."""
    if mixture.total is None or samples <= mixture.total:
        return
    parts = ", ".join(
        f"{source.name} {part.samples} x {source.max_epochs}"
        for source, part in zip(spec.data.sources, mixture.sources, strict=True)
    )
    raise UserError(
        "too-few-epochs",
        "spec.data.sources[*].maxEpochs",
        f"The run takes {counted(samples, 'sample')}, but the sources give {mixture.total} in all ({parts} epochs).",
        f"Write a run of at most {counted(mixture.total, 'sample')}, raise maxEpochs of a source or leave it out, or add documents.",
    )
