"""The PretrainJob types, one file per part of the spec; they hold shape, bounds and documentation only.

Rules between fields live in `pretrain_api.rules`, the CRD is generated in `pretrain_api.crd`.
"""

from pretrain_api.types.job import API_VERSION, KIND, Metadata, PretrainJob, PretrainJobSpec
from pretrain_api.types.status import PretrainJobStatus

__all__ = ["API_VERSION", "KIND", "Metadata", "PretrainJob", "PretrainJobSpec", "PretrainJobStatus"]
