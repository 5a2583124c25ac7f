"""A run's storage: the few operations that everything is built from, on any fsspec file system.

No retries and no caching here. A file appears whole or not at all: local files are written beside their place and
renamed, object stores publish an object when it is closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

import fsspec

from pretrain_api.errors import UserError

if TYPE_CHECKING:
    from pretrain_api.types.storage import Storage as StorageSpec


def given(uri: str, endpoint_url: str = "") -> Storage:
    """The storage at an address that a person gave. Raises UserError where its protocol is unknown or not installed."""
    try:
        return Storage(uri, endpoint_url)
    except (ValueError, ImportError) as error:
        what = f"its protocol cannot be used: {error}."
        raise UserError(
            "unknown-protocol", uri, what, "Write a path, s3://... or another address of a store."
        ) from error


class Storage:
    """Files below one root. Paths are relative to it and use '/'."""

    def __init__(self, uri: str, endpoint_url: str = "", **s3_options: Any) -> None:
        """`s3_options` go to the file system of an S3 address and are left out for any other."""
        self.endpoint_url = endpoint_url
        options: dict[str, Any] = {}
        self._given = uri
        self.is_s3 = uri.startswith(("s3://", "s3a://"))
        if self.is_s3:
            options = {"use_listings_cache": False, "skip_instance_cache": True, **s3_options}
            if endpoint_url:
                options["endpoint_url"] = endpoint_url
        try:
            self.fs, root = fsspec.core.url_to_fs(uri, **options)
        except FileNotFoundError as error:  # from os.getcwd(), for a relative path
            raise UserError(
                "current-folder-gone",
                uri,
                "the path is relative, and the folder that this command runs in was removed.",
                "Change to a folder that exists, or write a path that begins with /.",
            ) from error
        self.root: str = root.rstrip("/")
        self.is_local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))

    @classmethod
    def of(cls, spec: StorageSpec) -> Storage:
        """The storage of a job."""
        return cls(spec.uri, spec.endpoint_url)

    def asking_once(self) -> Storage:
        """The same place for readers that repeat requests themselves: a client of its own, which does not, and which opens
        as many connections as it is asked for. Other file systems than S3's are as they are."""
        if not self.is_s3:
            return self
        config = {"retries": {"max_attempts": 0}, "max_pool_connections": 64, "connect_timeout": 5, "read_timeout": 30}
        other = Storage(self._given, self.endpoint_url, config_kwargs=config)
        other.fs.retries = 1
        return other

    def path(self, relative: str = "") -> str:
        """The path as the file system wants it."""
        return f"{self.root}/{relative}" if relative else self.root

    def at(self, folder: str) -> tuple[Storage, str]:
        """The storage and the path in it of a folder that is relative to this one, or an address elsewhere."""
        if "://" not in folder:
            return self, folder
        parent, _, name = folder.rstrip("/").rpartition("/")
        return Storage(parent, self.endpoint_url), name

    def uri(self, relative: str = "") -> str:
        """The path as a URL that fsspec.open takes."""
        return str(self.fs.unstrip_protocol(self.path(relative)))

    def connect(self) -> None:
        """Make the store's client now, so that its first request is as quick as all others. Asks nobody."""
        if self.is_s3:
            self.fs.connect()

    def check(self) -> None:
        """Raise FileNotFoundError when the bucket does not exist, and whatever else keeps us from listing the root. A root
        that is not there yet is fine."""
        try:
            self.fs.ls(self.root, detail=False)
        except FileNotFoundError as error:
            if (
                type(error.__cause__ or error.__context__).__name__ == "NoSuchBucket"
            ):  # of a botocore client's own making
                raise

    def exists(self, relative: str) -> bool:
        return bool(self.fs.exists(self.path(relative)))

    def names(self, relative: str) -> list[str]:
        """Sorted names in a folder; empty where there is none."""
        try:
            entries = self.fs.ls(self.path(relative), detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(e).rstrip("/").rsplit("/", 1)[-1] for e in entries)

    def sizes(self, relative: str) -> dict[str, int]:
        """Bytes of each file in a folder by its name; empty where there is none."""
        try:
            entries = self.fs.ls(self.path(relative), detail=True)
        except FileNotFoundError:
            return {}
        files = [entry for entry in entries if entry["type"] == "file"]
        return {str(entry["name"]).rsplit("/", 1)[-1]: int(entry["size"] or 0) for entry in files}

    def read_bytes(self, relative: str) -> bytes:
        # By default an S3 client first asks how long an object is, and lists a folder of that name where there is none.
        options = {"max_concurrency": 1} if self.is_s3 else {}
        return bytes(self.fs.cat_file(self.path(relative), **options))

    def read_json(self, relative: str) -> Any:
        return json.loads(self.read_bytes(relative))

    def write_bytes(self, relative: str, content: bytes) -> None:
        with self.create(relative) as file:
            file.write(content)

    def write_json(self, relative: str, value: Any) -> None:
        self.write_bytes(relative, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

    @contextlib.contextmanager
    def create(self, relative: str) -> Iterator[IO[bytes]]:
        """A file to write that replaces what stood there once the block ends without an error."""
        final = self.path(relative)
        if not self.is_local:
            file = self.fs.open(final, "wb")
            try:
                yield file
            except BaseException:
                with contextlib.suppress(Exception):
                    file.discard()
                raise
            file.close()
            return
        os.makedirs(os.path.dirname(final), exist_ok=True)
        temporary = f"{final}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, final)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)
            raise

    def create_exclusive(self, relative: str, content: bytes) -> bool:
        """Create a file unless it exists; False when somebody else was first. Atomic on every store."""
        final = self.path(relative)
        if self.is_local:
            os.makedirs(os.path.dirname(final), exist_ok=True)
            temporary = f"{final}.{uuid.uuid4().hex[:8]}.tmp"
            try:
                with open(temporary, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(temporary, final)
            except FileExistsError:
                return False
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(temporary)
            return True
        try:
            self.fs.pipe_file(final, content, mode="create")
        except FileExistsError:
            return False
        return True

    def remove_files(self, relative: Sequence[str]) -> None:
        """Remove files by name, in one request where the store can; those that are already gone are fine."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm([self.path(name) for name in relative])

    def remove(self, relative: str) -> None:
        """Remove a file or folder; one that is already gone is fine. Of a link, the link alone."""
        if self.is_local and os.path.islink(self.path(relative)):
            os.remove(self.path(relative))
            return
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path(relative), recursive=True)
