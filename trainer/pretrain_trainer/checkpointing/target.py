"""Where a converted checkpoint goes: a folder that appears whole or not at all, and replaces nothing. No torch here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.exporting import folders


@dataclass(frozen=True)
class Target:
    """A folder that is not there yet."""

    parent: Storage
    name: str

    @classmethod
    def of(cls, target: str, run: Storage) -> Target:
        """The folder at a path or an address. Raises UserError where there is something already, or where it cannot be."""
        if "://" not in target:
            target = os.path.abspath(target)
        above, _, name = target.rstrip("/").rpartition("/")
        scheme, separator, rest = target.partition("://")
        if separator and "/" not in rest.rstrip("/"):
            raise UserError(
                "target-not-empty",
                target,
                "it is a whole bucket.",
                f"Name a folder in it, as {target.rstrip('/')}/model.",
            )
        try:
            parent = Storage(above or "/", run.endpoint_url if scheme in ("s3", "s3a") else "")
            if parent.exists(name) or (parent.is_local and os.path.lexists(parent.path(name))):
                raise UserError(
                    "target-not-empty", target, "there is something already.", "Name a folder that is not there yet."
                )
            if parent.is_local:
                os.makedirs(parent.path(), exist_ok=True)
        except (ValueError, ImportError) as error:
            what = f"its protocol cannot be used: {error}."
            raise UserError("unknown-protocol", target, what, "Write a path, or the address of a store.") from error
        except OSError as error:
            if not isinstance(error, FileExistsError | NotADirectoryError | PermissionError):
                raise
            what = f"the folder cannot be made: {error.strerror}."
            raise UserError("target-not-empty", target, what, "Name a folder that you may write.") from error
        inside = run.path("checkpoints") + "/"
        if type(parent.fs) is type(run.fs) and parent.path(name).startswith(inside):
            what = "it lies among the run's own checkpoints."
            raise UserError("target-not-empty", target, what, "Name a folder elsewhere.")
        return cls(parent, name)

    def publish(self, write: Callable[[Path], None], last: str) -> None:
        """Put what is written into its place. On local storage that is one rename, which replaces nothing; elsewhere the file
        `last`, without which nobody can load the folder, is written last."""
        parent = self.parent
        beside = parent.path() if parent.is_local else None
        with tempfile.TemporaryDirectory(prefix=f".{self.name}.", dir=beside) as folder:
            made = Path(folder) / "made"
            made.mkdir()
            write(made)
            if beside is None:
                folders.publish(parent, made, self.name, last=last)
                return
            try:
                made.rename(Path(beside) / self.name)
            except OSError as error:
                raise UserError(
                    "target-not-empty", parent.path(self.name), "something has appeared there.", "Name another folder."
                ) from error
