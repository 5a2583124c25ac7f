"""What an input/output error of a file system means: a user's mistake, or a fault that may pass.

Libraries behind fsspec are recognised by the names of their exceptions, so that none of them is imported here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from pretrain_api import jitter
from pretrain_api.errors import PretrainError, UserError

Result = TypeVar("Result")

_PASSING_NAMES = frozenset(
    {
        "TimeoutError",
        "ConnectionError",
        "FSTimeoutError",
        "ServerDisconnectedError",
        "ClientPayloadError",
        "ClientOSError",
        "EndpointConnectionError",
        "ConnectionClosedError",
        "ReadTimeoutError",
        "ConnectTimeoutError",
        "HfHubHTTPError",
        "HTTPClientError",
        "IncompleteReadError",
        "ResponseStreamingError",
    }
)
_DAMAGED = "FlexibleChecksumError"
"""What an S3 client raises when an object's bytes are not those whose checksum the store keeps: a fault on the way passes,
one in the store stays."""
_UNREACHABLE_NAMES = frozenset(
    {"ClientConnectorError", "EndpointConnectionError", "ConnectionRefusedError", "gaierror"}
)
_PASSING_NUMBERS = frozenset(
    {errno.EIO, errno.ETIMEDOUT, errno.ECONNRESET, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.EREMOTEIO}
)
_REFUSALS = frozenset(
    {
        "AccessDenied",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "XAdminUserNotFound",
    }
)
"""What S3 servers call keys that they do not know or that may not do this. s3fs knows only some of the names."""
_MALFORMED = frozenset({"400", "BadRequest", "InvalidBucketName"})
"""What an S3 client calls a request that its server does not understand; the answer to a HEAD has no reason, and the status
stands for it."""
_WRONG_CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_FULL = frozenset({"InsufficientStorage", "XMinioStorageFull", "QuotaExceeded"})
"""Codes of versitygw, MinIO and Ceph for a store, or its user's share of it, that takes no more."""
_PASSING_STATUSES = (408, 429)
CLOCK = "this machine's clock is more than some minutes from the store's"
SET_CLOCK = "Set the clock of the machine, or of the cluster's node, by NTP."
_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.25


class SourceUnavailable(PretrainError):
    """A place that documents are read from failed in a way that may pass later."""

    kind = "SourceUnavailable"

    def __init__(self, where: str, url: str, reason: str, nobody_answers: bool) -> None:
        super().__init__(where, url, reason, nobody_answers)
        self.where, self.url, self.reason, self.nobody_answers = where, url, reason, nobody_answers

    def __str__(self) -> str:
        return f"{self.where}: {self.url} cannot be read at the moment: {self.reason}"


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _status(error: BaseException) -> int:
    """The HTTP status that an error carries; 0 where it carries none."""
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else 0


def may_pass(error: BaseException) -> bool:
    """Whether the same read may succeed a little later."""
    if status := _status(error):
        return status >= 500 or status in _PASSING_STATUSES
    return bool(_names(error) & {*_PASSING_NAMES, _DAMAGED}) or (
        isinstance(error, OSError) and error.errno in _PASSING_NUMBERS and not isinstance(error, FileNotFoundError)
    )


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from; errors of libraries' threads and ranks often wrap the real one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _code(error: BaseException) -> str:
    """What an S3 server calls its error; empty for any other error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def is_refused(error: BaseException | None) -> bool:
    """Whether a store refuses the credentials."""
    for each in chain(error):
        if isinstance(each, PermissionError) or _status(each) in (401, 403) or _code(each) in _REFUSALS:
            return True
    return False


def is_full(error: BaseException | None) -> bool:
    """Whether a store refuses a write because there is no space for it."""
    return any(_code(each) in _FULL for each in chain(error))


def has_wrong_clock(error: BaseException | None) -> bool:
    """Whether a store refuses a request because of the time that it was signed with."""
    return any(_code(each) in _WRONG_CLOCK for each in chain(error))


def has_no_credentials(error: BaseException) -> bool:
    """Whether a store's client has found no credentials at all."""
    return bool(_names(error) & {"NoCredentialsError", "PartialCredentialsError"})


def is_unreachable(error: BaseException | None) -> bool:
    """Whether nobody answers at the address at all."""
    return any(_names(each) & _UNREACHABLE_NAMES for each in chain(error))


def user_error(error: BaseException, where: str, url: str) -> UserError | None:
    """The user's mistake behind an error of reading `url`; None where it is none."""
    status = _status(error)
    if isinstance(error, UserError):
        return error
    if isinstance(error, FileNotFoundError) or status == 404:
        return UserError("file-not-found", where, f"{url} does not exist.", "Write the path or URL of existing files.")
    if has_wrong_clock(error):
        return UserError("wrong-clock", where, f"{url} refuses requests: {CLOCK}.", SET_CLOCK)
    if is_refused(error):
        return UserError(
            "no-permission", where, f"{url} may not be read.", "Give this user or these credentials read access."
        )
    if 400 <= status < 500 and status not in _PASSING_STATUSES:
        what = f"{url} cannot be had: its server answers {status}."
        return UserError("file-not-found", where, what, "Write the path or URL of existing files.")
    if any(_code(each) in _MALFORMED for each in chain(error)):
        what = f"{url} cannot be had: its server calls the request malformed, as for a bucket's name or a session token that "
        what += "cannot be one."
        return UserError("file-not-found", where, what, "Check the address, and AWS_SESSION_TOKEN where there is one.")
    if has_no_credentials(error):
        return UserError(
            "no-credentials", where, f"{url} needs credentials and none were found.", "Provide them in the environment."
        )
    if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
        what = f"{url} cannot be opened: {os.strerror(error.errno)}."
        return UserError("file-not-found", where, what, "Write the path or URL of existing files.")
    if isinstance(error, IsADirectoryError):
        return UserError("folder-given", where, f"{url} is a folder.", f"Write a glob such as {url.rstrip('/')}/*.txt.")
    return None


def _decisive(error: Exception) -> Exception:
    """The error that tells: fsspec's http file system calls every failure "file not found" and chains the real one."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(cause, Exception):
        return cause if _status(cause) or is_unreachable(cause) or may_pass(cause) else error
    return error


@contextlib.contextmanager
def reading(where: str, url: str) -> Iterator[None]:
    """Errors of reading `url` inside the block come out as UserError or SourceUnavailable where they are such."""
    try:
        yield
    except Exception as error:
        error = _decisive(error)
        if mistake := user_error(error, where, url):
            raise mistake from error
        unreachable = is_unreachable(error)
        if unreachable or may_pass(error):
            reason = f"{type(error).__name__}: {error}"
            raise SourceUnavailable(where, url, reason, unreachable) from error
        raise


def patiently(action: Callable[[], Result]) -> Result:
    """Run `action`, again after faults that may pass: a few times, with growing pauses and full jitter.

    Raises UserError for an address where nobody answers and an object that is damaged, SourceUnavailable when another fault
    stays.
    """
    for attempt in range(1, _ATTEMPTS):
        try:
            return action()
        except SourceUnavailable:
            threading.Event().wait(jitter.between(0, _FIRST_PAUSE_SECONDS * 4**attempt))
    try:
        return action()
    except SourceUnavailable as fault:
        if fault.nobody_answers:
            what = f"Nobody answers at {fault.url} ({fault.reason})."
            raise UserError("unreachable", fault.where, what, "Check the address and the network.") from fault
        if any(_DAMAGED in _names(each) for each in chain(fault)):
            what = f"{fault.url} is damaged: its bytes do not have the checksum that its store keeps."
            raise UserError("file-damaged", fault.where, what, "Put it there again.") from fault
        raise
