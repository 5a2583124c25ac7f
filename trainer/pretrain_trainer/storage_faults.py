"""What a failure of the run's own storage means to the user, and whether it may pass.

Errors of reading documents are explained where they are read, in `pretrain_trainer.documents.faults`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pretrain_api import os_faults
from pretrain_api.errors import PretrainError, UserError
from pretrain_api.storage import Storage
from pretrain_trainer.documents import faults

_FIELD = "spec.storage.uri"
_PATIENCE_SECONDS = 15.0
"""For the first answer. Clients of stores ask on for minutes where nobody says a word; a person should know sooner."""


class StorageUnavailable(PretrainError):
    """The storage does not answer, in the middle of a stage that it has answered before."""

    kind = "StorageUnavailable"


def first_contact(storage: Storage, *, again: bool = False) -> None:
    """Raise UserError when the storage is not there, or does not let us in. A local folder is made when it is needed.
    `again`: it has answered before, so StorageUnavailable where it does not answer."""
    if storage.is_local:
        return
    try:
        storage.connect()
        _within(_PATIENCE_SECONDS, storage.check)
    except FileNotFoundError as error:
        raise _missing(storage) from error
    except Exception as error:
        if not again and not faults.is_refused(error) and (faults.is_unreachable(error) or faults.may_pass(error)):
            raise UserError(
                "unreachable",
                _FIELD,
                f"{storage.uri()} does not answer{_at(storage.endpoint_url)}: {error}.",
                "Check the address, spec.storage.endpointUrl and the network.",
            ) from error
        raise


def _at(endpoint_url: str) -> str:
    return f" at {endpoint_url}" if endpoint_url else ""


def _within(seconds: float, action: Callable[[], None]) -> None:
    """What the action raises, or TimeoutError when it takes longer; it is then left alone until the program ends."""
    raised: list[Exception] = []

    def act() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            raised.append(error)

    thread = threading.Thread(target=act, name="first contact", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"nothing came within {seconds:.0f} s")
    if raised:
        raise raised[0]


def explained(error: BaseException, storage: Storage | None) -> PretrainError | None:
    """The user's mistake, or the passing fault, behind an error of the storage; None where it is neither."""
    for cause in faults.chain(error):
        if isinstance(cause, PretrainError):
            return None
        if isinstance(cause, OSError) and (found := os_faults.explained(cause, _FIELD)):
            return found
        if storage and not storage.is_local and (fault := _remote(cause, storage)):
            return fault
    return None


def _remote(error: BaseException, storage: Storage) -> PretrainError | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    if "NoSuchBucket" in names:
        return _missing(storage)
    if faults.has_no_credentials(error):
        return UserError(
            "no-credentials",
            _FIELD,
            f"{storage.uri()} needs credentials and none were found.",
            "Write spec.storage.secretRef, or give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.",
        )
    if faults.has_wrong_clock(error):
        return UserError("wrong-clock", _FIELD, f"{storage.uri()} refuses requests: {faults.CLOCK}.", faults.SET_CLOCK)
    if faults.is_full(error):
        return UserError(
            "disk-full", _FIELD, f"The store of {storage.uri()} is full.", "Free space there, or raise the quota."
        )
    if faults.is_refused(error):
        return UserError(
            "no-permission",
            _FIELD,
            f"{storage.uri()} may not be read or written: {error}",
            "Correct the keys of spec.storage.secretRef (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or give them access.",
        )
    if faults.is_unreachable(error) or faults.may_pass(error):
        return StorageUnavailable(f"{_FIELD}: {storage.uri()} stopped answering: {error}")
    return None


def _missing(storage: Storage) -> UserError:
    return UserError(
        "storage-missing",
        _FIELD,
        f"The bucket of {storage.uri()} does not exist.",
        "Make the bucket, or write the address of one that exists.",
    )
