import errno

import pytest

from pretrain_api.errors import UserError
from pretrain_trainer.documents import faults
from pretrain_trainer.documents.faults import SourceUnavailable, patiently, reading


class ClientResponseError(Exception):
    """As aiohttp's: a status, no message."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_FIRST_PAUSE_SECONDS", 0)


def told(error: Exception) -> str:
    """The code of a user's mistake, or the class of the error that comes out."""
    try:
        with reading("spec.x", "s3://bucket/a"):
            raise error
    except UserError as mistake:
        return mistake.code
    except Exception as other:  # noqa: BLE001 - whatever comes out is what the test is about
        return type(other).__name__


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError("no bucket"), "file-not-found"),
        (PermissionError("forbidden"), "no-permission"),
        (IsADirectoryError("a"), "folder-given"),
        (type("NoCredentialsError", (Exception,), {})(), "no-credentials"),
        (ClientResponseError(404), "file-not-found"),
        (ClientResponseError(403), "no-permission"),
        (ClientResponseError(503), "SourceUnavailable"),
        (ClientResponseError(429), "SourceUnavailable"),
        (ClientResponseError(400), "file-not-found"),
        (OSError(errno.ELOOP, "too many levels"), "file-not-found"),
        (TimeoutError(), "SourceUnavailable"),
        (ConnectionResetError(), "SourceUnavailable"),
        (OSError(errno.EIO, "broken disk"), "SourceUnavailable"),
        (OSError(errno.ENOSPC, "full"), "OSError"),
        (KeyError("a bug of ours"), "KeyError"),
    ],
    ids=repr,
)
def test_errors_are_told_for_what_they_are(error: Exception, expected: str) -> None:
    assert told(error) == expected


def test_the_real_reason_behind_a_missing_file() -> None:
    missing = FileNotFoundError("http://a/b")
    missing.__cause__ = ClientResponseError(403)
    assert told(missing) == "no-permission"


@pytest.mark.parametrize("code", ["400", "InvalidBucketName"])
def test_a_request_that_an_s3_server_calls_malformed_is_the_users(code: str) -> None:
    """As of a session token that cannot be one: s3fs makes an OSError of botocore's error, whose answer tells."""
    error, answer = OSError(errno.EINVAL, "Bad Request"), Exception("ClientError")
    answer.response = {"Error": {"Code": code}}
    error.__cause__ = answer
    assert told(error) == "file-not-found"


class Flaky:
    """Fails some times, then answers."""

    def __init__(self, failures: int, nobody_answers: bool) -> None:
        self.left, self.nobody_answers, self.calls = failures, nobody_answers, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise SourceUnavailable("spec.x", "http://a", "TimeoutError", self.nobody_answers)
        return "answer"


def test_a_fault_that_passes_is_not_seen() -> None:
    flaky = Flaky(3, nobody_answers=False)
    assert patiently(flaky) == "answer"
    assert flaky.calls == 4


def test_a_fault_that_stays_is_a_failure_and_a_dead_address_the_users() -> None:
    with pytest.raises(SourceUnavailable, match="at the moment"):
        patiently(Flaky(9, nobody_answers=False))
    with pytest.raises(UserError, match="Nobody answers at http://a"):
        patiently(Flaky(9, nobody_answers=True))


def test_mistakes_are_not_tried_again() -> None:
    calls = []

    def mistaken() -> None:
        calls.append(1)
        raise UserError("code", "where", "what", "instead")

    with pytest.raises(UserError):
        patiently(mistaken)
    assert len(calls) == 1


def test_an_error_that_names_itself_as_its_cause_is_looked_at_once() -> None:
    error = OSError("a loop")
    error.__cause__ = error
    assert list(faults.chain(error)) == [error]
    assert not faults.is_refused(error)
    assert not faults.is_unreachable(error)
