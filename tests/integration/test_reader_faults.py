"""Shards on an S3 server that are damaged, gone or hard to get at: a clear error, a stand-in or the right bytes, and never
wrong data in silence."""

import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support import token_runs
from support.cluster.s3 import S3Server
from support.s3_proxy import Answer, Asked, S3Proxy, Script, Weather, s3_proxy

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_api.types.data import DataCache
from pretrain_trainer.data.indexes import CorruptShard
from pretrain_trainer.data.patience import Patience
from pretrain_trainer.data.quarantine import Quarantine
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.storage_faults import StorageUnavailable, explained

SAMPLES = 200
FOLDER = layout.shards(token_runs.UPSTREAM["Encode"], "a")


PATIENT = Patience()


@pytest.fixture
def bucket(s3_server: S3Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bucket with one source of one shard, as a folder."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    name = f"faults-{abs(hash(request.node.name)) % 10**10}"
    s3_server.make_bucket(name)
    folder = s3_server.buckets / name
    token_runs.write_source(Storage(str(folder)), "a", seed=1, train=SAMPLES)
    return folder


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    with s3_proxy(s3_server.url) as running:
        yield running


def manifest(bucket: Path) -> Manifest:
    return Manifest.model_validate_json((bucket / FOLDER / layout.MANIFEST).read_bytes())


def reader(
    bucket: Path, url: str, most: int = 0, patience: Patience = PATIENT, cache: DataCache | None = None
) -> SampleReader:
    storage = Storage(f"s3://{bucket.name}", url)
    made = SampleReader(storage, [(FOLDER, manifest(bucket))], quarantine=Quarantine(storage, "f", most), cache=cache)
    assert made._remote is not None
    made._remote.patient._patience = patience
    return made


def read(of: SampleReader) -> Samples:
    return of.read(np.zeros(SAMPLES, dtype=np.int64), np.arange(SAMPLES))


def right(bucket: Path) -> Samples:
    """What undamaged shards hold."""
    return read(SampleReader(Storage(str(bucket)), [(FOLDER, manifest(bucket))]))


def overwrite(name: str, change: Callable[[bytearray], bytes | bytearray]) -> Callable[[Path], None]:
    def act(bucket: Path) -> None:
        path = bucket / FOLDER / name
        path.write_bytes(change(bytearray(path.read_bytes())))

    return act


def flipped(place: float) -> Callable[[bytearray], bytearray]:
    def flip(content: bytearray) -> bytearray:
        content[int(len(content) * place)] ^= 1
        return content

    return flip


def another_index(content: bytearray) -> bytes:
    """That of a shard with as many records of other sizes."""
    rows = np.frombuffer(bytes(content[-48:]), dtype=np.uint8).copy()
    rows[-8] += 1  # one token more
    return bytes(content[:-48]) + rows.tobytes()


def remove(name: str) -> Callable[[Path], None]:
    return lambda bucket: (bucket / FOLDER / name).unlink()


DAMAGE = [
    ("a bit of the payload", overwrite("000000.tar", flipped(0.6)), r"shard .*000000\.tar, record 0 \(tokens\): crc32c is"),
    ("a bit of the npy header", overwrite("000000.tar", lambda c: c[:514] + bytes([c[514] ^ 1]) + c[515:]), r"record 0 \(documents\): crc32c"),
    ("zeros where data was", overwrite("000000.tar", lambda c: bytes(len(c))), r"record 0 \(documents\): crc32c is"),
    ("a tar cut short", overwrite("000000.tar", lambda c: c[:4096]), r"shard .*000000\.tar (ends before|has 4096 bytes where)"),
    ("a tar that grew", overwrite("000000.tar", lambda c: c + bytes(512)), r"has \d+ bytes where the manifest says \d+; it was cut short or replaced"),
    ("an empty tar", overwrite("000000.tar", lambda c: b""), r"shard .*000000\.tar (ends before|has 0 bytes)"),
    ("no tar", remove("000000.tar"), r"shard s3://.*000000\.tar is missing"),
    ("no index", remove("000000.idx"), r"index s3://.*000000\.idx is missing"),
    ("an empty index", overwrite("000000.idx", lambda c: b""), r"index .* cannot be read"),
    ("an index cut short", overwrite("000000.idx", lambda c: c[:-8]), r"index .* cannot be read"),
    ("an index that is no array", overwrite("000000.idx", lambda c: b"<html>"), r"index .* cannot be read"),
    ("a bit of an index' header", overwrite("000000.idx", flipped(0.02)), r"index .*"),
    ("another shard's index", overwrite("000000.idx", another_index), r"index .* counts \d+ tokens where the manifest says \d+: not this shard's"),
    ("a bit of an index' offset", overwrite("000000.idx", lambda c: c[:-47] + bytes([c[-47] ^ 1]) + c[-46:]), r"crc32c|leads outside|index"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "told"), [pytest.param(d, t, id=n) for n, d, t in DAMAGE])
def test_damage_in_the_store_ends_the_run_with_its_place(
    bucket: Path, s3_server: S3Server, damage: Callable[[Path], None], told: str
) -> None:
    of = reader(bucket, s3_server.url)
    damage(bucket)
    with pytest.raises(CorruptShard, match=told):
        read(of)


class TestQuarantine:
    def test_replaces_a_damaged_record_by_samples_that_count_nothing(self, bucket: Path, s3_server: S3Server) -> None:
        of = reader(bucket, s3_server.url, most=1)
        DAMAGE[0][1](bucket)
        samples = read(of)
        assert samples.stand_ins.all()
        assert not samples.valid.any()
        assert samples.tokens.shape == (SAMPLES, token_runs.LENGTH + 1)
        assert (bucket / layout.QUARANTINE / "f" / "a-00000000.json").exists()

    def test_has_a_bound(self, bucket: Path, s3_server: S3Server) -> None:
        of = reader(bucket, s3_server.url, most=1)
        (bucket / layout.QUARANTINE / "f").mkdir(parents=True)
        (bucket / layout.QUARANTINE / "f" / "a-00000007.json").write_text("{}")
        DAMAGE[0][1](bucket)
        with pytest.raises(CorruptShard, match=r"2 damaged records, more than spec\.data\.maxBadRecords \(1\)"):
            read(of)


class TestCache:
    def test_records_are_asked_for_once_over_all_starts(self, bucket: Path, proxy: S3Proxy, tmp_path: Path) -> None:
        cache = DataCache(path=str(tmp_path / "cache"))
        expected = right(bucket)
        for ranged in (1, 1):  # by the first start, and by both
            samples = read(reader(bucket, proxy.url, cache=cache))
            assert (samples.tokens == expected.tokens).all()
            assert (samples.document_ids == expected.document_ids).all()
            assert len([asked for asked in proxy.asked if asked.range]) == ranged

    @pytest.mark.parametrize(
        "change", [flipped(0.6), flipped(0.01), lambda c: c[:100], lambda c: b"", lambda c: bytes(len(c))]
    )
    def test_a_file_that_is_not_right_is_fetched_again(
        self, bucket: Path, proxy: S3Proxy, tmp_path: Path, change: Callable[[bytearray], bytes | bytearray]
    ) -> None:
        cache, expected = DataCache(path=str(tmp_path / "cache")), right(bucket)
        read(reader(bucket, proxy.url, cache=cache))
        (file,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
        whole = file.read_bytes()
        file.write_bytes(change(bytearray(whole)))
        assert (read(reader(bucket, proxy.url, cache=cache)).tokens == expected.tokens).all()
        assert file.read_bytes() == whole

    def test_a_full_disk_is_no_harm(
        self, bucket: Path, proxy: S3Proxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        of = reader(bucket, proxy.url, cache=DataCache(path=str(tmp_path / "cache")))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
        try:
            samples = read(of)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (samples.tokens == right(bucket).tokens).all()
        assert "takes no more records" in caplog.text
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]

    def test_a_folder_that_cannot_be_written_to_is_a_mistake(self, bucket: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"spec\.data\.cache\.path.*cannot be written to: Not a directory"):
            reader(bucket, "http://127.0.0.1:1", cache=DataCache(path=str(tmp_path / "file" / "cache")))


class TestSharedMemory:
    @pytest.mark.parametrize("change", [flipped(0.6), flipped(0.01), lambda c: c[:100], lambda c: b""])
    def test_a_block_that_is_not_right_is_fetched_again(
        self,
        bucket: Path,
        proxy: S3Proxy,
        monkeypatch: pytest.MonkeyPatch,
        change: Callable[[bytearray], bytes | bytearray],
    ) -> None:
        expected = right(bucket)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
        monkeypatch.setenv("LOCAL_RANK", "0")
        first = reader(bucket, proxy.url)
        read(first)
        assert first._remote is not None
        assert first._remote._shared is not None
        (block,) = first._remote._shared.folder.iterdir()
        block.write_bytes(change(bytearray(block.read_bytes())))
        monkeypatch.setenv("LOCAL_RANK", "1")
        second = reader(bucket, proxy.url)
        assert (read(second).tokens == expected.tokens).all()
        assert len([asked for asked in proxy.asked if asked.range]) == 2
        for each in (first, second):
            each.close()
        assert not block.parent.exists()


def test_a_bucket_that_goes_in_the_middle_is_told_as_such(bucket: Path, s3_server: S3Server) -> None:
    token_runs.write_source(Storage(str(bucket)), "a", seed=1, train=SAMPLES, samples_per_record=20, shards=4)
    of = reader(bucket, s3_server.url)
    first = of.read(np.zeros(20, dtype=np.int64), np.arange(20))
    assert first.valid.all()
    shutil.rmtree(bucket)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what matters is how it is explained
        read(of)
    mistake = explained(caught.value, Storage(f"s3://{bucket.name}", s3_server.url))
    assert getattr(mistake, "code", None) == "storage-missing"


def first_time(answer: Answer, of: str = "range") -> Script:
    """This answer to the first ranged read, or to the first read of all, and none to the others."""
    made: list[Asked] = []

    def script(asked: Asked) -> Answer:
        if made or (of == "range" and not asked.range):
            return Answer()
        made.append(asked)
        return answer

    return script


PASSING = [
    ("a bit on the way", first_time(Answer(flip=True))),
    ("a connection cut in the answer", first_time(Answer(cut=True))),
    ("an index cut in the answer", first_time(Answer(cut=True), of="all")),
    ("SlowDown", first_time(Answer(code="SlowDown", status=503))),
    ("InternalError", first_time(Answer(code="InternalError", status=500))),
    ("RequestTimeout", first_time(Answer(code="RequestTimeout", status=400))),
    ("another version of the same bytes", lambda asked: Answer(etag='"another"')),
    ("bad weather", Weather(3, errors=0.3, late=0.1, late_seconds=0.2, cuts=0.2).script()),
]


@pytest.mark.parametrize("script", [pytest.param(s, id=n) for n, s in PASSING])
def test_what_passes_is_repeated_and_changes_nothing(bucket: Path, proxy: S3Proxy, script: Script) -> None:
    of = reader(bucket, proxy.url)
    proxy.script = script
    samples, expected = read(of), right(bucket)
    assert (samples.tokens == expected.tokens).all()
    assert (samples.document_ids == expected.document_ids).all()
    assert not samples.stand_ins.any()
    assert proxy.made
    assert not [asked for asked in proxy.asked if asked.is_listing]


REFUSED = [
    ("wrong keys", "InvalidAccessKeyId", 403, "no-permission"),
    ("a wrong secret", "SignatureDoesNotMatch", 403, "no-permission"),
    ("an expired token", "ExpiredToken", 400, "no-permission"),
    ("a clock that is wrong", "RequestTimeTooSkewed", 403, "wrong-clock"),
    ("no right to read", "AccessDenied", 403, "no-permission"),
    ("a bucket that is gone", "NoSuchBucket", 404, "storage-missing"),
]


@pytest.mark.parametrize(("code", "status", "told"), [pytest.param(*case, id=name) for name, *case in REFUSED])
def test_what_does_not_pass_is_told_at_once(bucket: Path, proxy: S3Proxy, code: str, status: int, told: str) -> None:
    of = reader(bucket, proxy.url)
    proxy.script = lambda asked: Answer(code=code, status=status)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what matters is how it is explained
        read(of)
    mistake = explained(caught.value, Storage(f"s3://{bucket.name}", proxy.url))
    assert getattr(mistake, "code", None) == told
    assert len(proxy.made) == 1


def test_a_store_that_stays_away_is_told_with_object_fault_and_time(bucket: Path, proxy: S3Proxy) -> None:
    of = reader(bucket, proxy.url, patience=Patience(seconds=0.3, first_pause_seconds=0.01))
    proxy.script = lambda asked: Answer(code="SlowDown")
    with pytest.raises(StorageUnavailable, match=r"s3://.*000000\.idx could not be read in \d+ attempts over \d+ s"):
        read(of)
