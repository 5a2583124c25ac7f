"""From a job and the manifests of its sources to the mixture that Train reads; says when the run needs more than it has."""

from collections.abc import Sequence

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.nouns import counted
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.data import Source
from pretrain_trainer.data.order import Mixture, MixtureSource


def read_manifests(storage: Storage, fingerprint: str, sources: Sequence[Source]) -> list[tuple[str, Manifest]]:
    """Folder and manifest of each source, in the job's order, as the Encode stage of that identity left them.

    The folder is one of the storage, or the address at which another job's shards lie (`Storage.at` takes both).
    """
    found = []
    for source in sources:
        folder = layout.shards(fingerprint, source.name)
        manifest = Manifest.model_validate(storage.read_json(f"{folder}/{layout.MANIFEST}"))
        found.append((manifest.folder or folder, manifest))
    return found


def mixture_of(spec: PretrainJobSpec, manifests: Sequence[Manifest]) -> Mixture:
    """The mixture of a job; manifests in the order of the sources."""
    return Mixture(
        tuple(
            MixtureSource(manifest.train.samples, source.weight, source.max_epochs, manifest.samples_per_record)
            for source, manifest in zip(spec.data.sources, manifests, strict=True)
        ),
        spec.training.seed,
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
