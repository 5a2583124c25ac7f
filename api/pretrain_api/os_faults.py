"""What the operating system refuses and a person can mend, in the words of every program."""

import errno
import os

from pretrain_api.errors import UserError

_LIMITS = {errno.EFBIG: "-f", errno.EMFILE: "-n"}
"""Options of `ulimit`."""


def explained(error: OSError, where: str) -> UserError | None:
    """The user's mistake behind an error of a file, which a retry would meet again; None where it is none.

    `where` is named where the error names no file.
    """
    place = str(error.filename or where)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            "disk-full", place, "The disk is full.", "Free space, or point spec.storage.uri at a larger disk."
        )
    if error.errno in _LIMITS:
        return UserError(
            "process-limit",
            place,
            f"{os.strerror(error.errno)}: a limit of this process does not suffice.",
            f"Raise it with `ulimit {_LIMITS[error.errno]}`, or run where it is higher.",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return UserError(
            "no-permission",
            place,
            f"{os.strerror(error.errno)}.",
            "Give this user the permission, or choose another place.",
        )
    return None
