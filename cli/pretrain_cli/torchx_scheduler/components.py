"""What `torchx run -s pretrain` can run: `pretrain.job`. TorchX reads the functions of this module and their docstrings."""

from torchx.specs import AppDef, Resource, Role
from torchx.specs.finder import ComponentValidationException

from pretrain_api.errors import UserError
from pretrain_api.parse import load
from pretrain_api.stages import Stage
from pretrain_cli.cluster.submission import manifest

MANIFEST = "pretrain.manifest"
"""Key of a role's metadata: the PretrainJob as it is applied, without a namespace."""
NAMESPACE = "pretrain.namespace"
"""Key of a role's metadata: the namespace that the file names; empty where it names none."""


def job(file: str, *sets: str) -> AppDef:
    """A PretrainJob, from raw documents to an exported model.

    Args:
        file: the job file
        sets: changed fields, such as spec.training.steps=100
    """
    try:
        wanted = load(file, list(sets))
    except UserError as error:
        raise ComponentValidationException(str(error)) from None  # what TorchX prints without a traceback
    workers = wanted.spec.workers
    given = wanted.metadata.namespace if "namespace" in wanted.metadata.model_fields_set else ""
    role = Role(
        name=Stage.TRAIN.lower(),
        image="",  # the operator's affair
        entrypoint="pretrain",
        num_replicas=workers.max,
        min_replicas=workers.min,
        resource=Resource(cpu=-1, gpu=-1, memMB=-1),
        metadata={MANIFEST: manifest(wanted, ""), NAMESPACE: given},
    )
    return AppDef(name=wanted.metadata.name, roles=[role])
