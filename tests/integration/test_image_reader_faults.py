"""Tars that others wrote on an S3 server that is hard to get at: the right bytes, a clear error, and what it cost."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support import image_runs
from support.cluster.s3 import S3Server
from support.s3_proxy import Answer, S3Proxy, Weather, s3_proxy

from pretrain_api.errors import UserError
from pretrain_api.image_shards import ImageManifest, ImageSplit
from pretrain_trainer.data.foreign import SampleShards
from pretrain_trainer.data.image_reader import ImageReader
from pretrain_trainer.data.image_source import ImageSource
from pretrain_trainer.data.patience import Patience, PatientReads
from pretrain_trainer.storage_faults import StorageUnavailable

RECORDS = 60
FIELD = "spec.data.sources[0].shards"


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    s3_server.make_bucket("image-faults")
    image_runs.written(s3_server.buckets / "image-faults" / "tars", image_runs.digits(RECORDS), shards=2)
    return "image-faults"


@pytest.fixture
def proxy(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Proxy]:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    with s3_proxy(s3_server.url) as running:
        yield running


def opened(bucket: str, proxy: S3Proxy, **patience: Any) -> tuple[SampleShards, PatientReads]:
    """Shards whose indexes are read already."""
    patient = PatientReads(Patience(**patience))
    shards = SampleShards(f"s3://{bucket}/tars/manifest.json", proxy.url, FIELD, patient=patient)
    for shard in range(2):
        shards.index(shard)
    return shards, patient


def right(s3_server: S3Server, bucket: str) -> list[dict[str, bytes]]:
    """What the same tars hold as a folder."""
    shards = SampleShards(str(s3_server.buckets / bucket / "tars" / "manifest.json"))
    return [shards.read(record).members for record in range(RECORDS)]


def test_what_passes_is_repeated_and_counted(s3_server: S3Server, bucket: str, proxy: S3Proxy) -> None:
    shards, patient = opened(bucket, proxy, first_pause_seconds=0.01, hedge_after=1000)
    proxy.script = Weather(3, errors=0.2, late=0.0, late_seconds=0.0, cuts=0.1).script()
    expected = right(s3_server, bucket)
    assert [shards.read(record).members for record in range(RECORDS)] == expected
    counts = patient.counts
    assert counts.faults > 5
    assert counts.requests == RECORDS + counts.faults
    assert counts.bytes >= sum(len(content) for members in expected for content in members.values())
    assert counts.reads.count == RECORDS


def test_a_late_answer_is_asked_for_again(bucket: str, proxy: S3Proxy) -> None:
    shards, patient = opened(bucket, proxy, hedge_after=5)
    for record in range(20):
        shards.read(record)
    late = iter([Answer(late_seconds=20)])
    proxy.script = lambda asked: next(late, Answer())
    shards.read(20)
    assert (patient.counts.hedges, patient.counts.faults) == (1, 0)


def test_a_store_that_stays_away_is_told_with_place_fault_and_time(bucket: str, proxy: S3Proxy) -> None:
    shards, _ = opened(bucket, proxy, seconds=0.3, first_pause_seconds=0.01)
    proxy.script = lambda asked: Answer(code="SlowDown")
    told = r"spec\.data\.sources\[0\]\.shards: bytes \d+ to \d+ of s3://.*000\.tar could not be read in \d+ attempts over \d+ s"
    with pytest.raises(StorageUnavailable, match=told):
        shards.read(0)


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("InvalidAccessKeyId", 403, "no-permission"),
        ("ExpiredToken", 400, "no-permission"),
        ("RequestTimeTooSkewed", 403, "wrong-clock"),
        ("NoSuchKey", 404, "file-not-found"),
    ],
)
def test_what_does_not_pass_is_told_at_once(bucket: str, proxy: S3Proxy, code: str, status: int, told: str) -> None:
    shards, _ = opened(bucket, proxy)
    proxy.script = lambda asked: Answer(code=code, status=status)
    with pytest.raises(UserError) as caught:
        shards.read(0)
    assert (caught.value.code, caught.value.where) == (told, FIELD)
    assert len(proxy.made) == 1


def test_a_tar_in_another_bucket_is_read_as_patiently(
    s3_server: S3Server, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.make_bucket("image-manifests")
    s3_server.make_bucket("image-tars")
    image_runs.written(s3_server.buckets / "image-tars" / "tars", image_runs.digits(4), shards=1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    manifest = (s3_server.buckets / "image-tars" / "tars" / "manifest.json").read_text()
    moved = s3_server.buckets / "image-manifests" / "tars"
    moved.mkdir()
    (s3_server.buckets / "image-tars" / "tars" / "000.idx").rename(moved / "000.idx")
    (moved / "manifest.json").write_text(manifest.replace('"000.tar"', '"s3://image-tars/tars/000.tar"'))
    patient = PatientReads(Patience(first_pause_seconds=0.01))
    shards = SampleShards("s3://image-manifests/tars/manifest.json", patient=patient)
    shards.index(0)
    faults = iter([Answer(code="SlowDown")])
    proxy.script = lambda asked: next(faults, Answer())
    assert shards.read(3).key == "00003"
    assert (patient.counts.requests, patient.counts.faults) == (2, 1)
    assert len(proxy.made) == 1


def test_a_reader_of_images_tells_what_its_requests_cost(bucket: str, proxy: S3Proxy) -> None:
    shards, patient = opened(bucket, proxy)
    split, none = ImageSplit(samples=RECORDS), np.array([], dtype=np.int64)
    manifest = ImageManifest(
        fingerprint="f", source="some", uri=shards.uri, sha256="", images=("png",), caption="", train=split,
        validation=ImageSplit(samples=0),
    )  # fmt: skip
    reader = ImageReader([ImageSource(manifest, shards, none, none, "train")], patient)
    reader.read(np.zeros(5, dtype=np.int64), np.arange(5))
    assert reader.counts is not None
    assert reader.counts.requests == 5
    reader.close()
