"""The tree of errors that a person sees, and the exit codes of every program.

    PretrainError
    └── UserError        something the user wrote or supplied is wrong; exit code 2, no retry, no traceback

Every code is explained in docs/reference/errors.md; a test holds the two together.
"""

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USER_ERROR = 2
EXIT_STOPPED = 75
"""The stage was asked to stop and did so with everything saved (EX_TEMPFAIL of sysexits.h)."""


class PretrainError(Exception):
    """Root of the errors of this project."""


class UserError(PretrainError):
    """What is wrong, where, and what to write instead.

    `code` is stable (kebab-case), `where` names a field path, file, shard or worker, `what` says what is wrong
    with the value repeated, `instead` says what to do. A plain class, as exceptions must be picklable and mutable.
    """

    def __init__(self, code: str, where: str, what: str, instead: str) -> None:
        super().__init__(code, where, what, instead)
        self.code, self.where, self.what, self.instead = code, where, what, instead

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.instead} [{self.code}]"
