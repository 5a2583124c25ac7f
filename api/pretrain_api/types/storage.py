"""Where a run keeps everything it makes."""

from typing import Annotated

from pydantic import Field

from pretrain_api.types.base import ApiModel, DnsLabel, Uri


class SecretReference(ApiModel):
    """A Secret of the job's namespace."""

    name: DnsLabel
    """Name of the Secret. Its keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are read, and where it has them AWS_SESSION_TOKEN, AWS_ENDPOINT_URL and AWS_DEFAULT_REGION."""


class Storage(ApiModel):
    """The folder of this run, and how to reach it."""

    uri: Uri
    """The run's folder as a path or any fsspec URL (file:///data/run, s3://bucket/run). One folder holds one run."""
    endpoint_url: Annotated[str, Field(max_length=2048)] = ""
    """Address of an S3-compatible server, for the run's folder and for documents and a tokenizer at s3:// addresses. Empty: AWS_ENDPOINT_URL of the Secret or the environment, else the cloud's own."""
    secret_ref: SecretReference | None = None
    """Credentials. Omitted: the environment's or the pod's cloud identity."""
