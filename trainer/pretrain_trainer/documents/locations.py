"""Finding the files that a path, glob or fsspec URL names, in one fixed order.

Nothing is read here but listings.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec

from pretrain_api.errors import UserError
from pretrain_api.problems import is_encodable
from pretrain_trainer.documents import braces, python_fs, web
from pretrain_trainer.documents.faults import patiently, reading

_VERSION_KEYS = (
    "ETag",
    "etag",
    "version",
    "CRC",
    "blob_id",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
    "Last-Modified",
)
_SILENCE_SECONDS = 60
"""A web server that sends nothing for so long has gone."""
_WORTH_A_LISTING = 8
"""Files of one folder that are asked for together rather than one by one."""
_ENDING = re.compile(r"\.[^/*?\[\]]+$")
_ARCHIVES = ("zip", "tar", "libarchive")


@dataclass(frozen=True)
class Location:
    """A file: its URL as fsspec opens it, its size in bytes (-1: unknown) and what tells its versions apart."""

    url: str
    size: int
    version: str


def options(url: str) -> dict[str, Any]:
    """Options for fsspec: no cached listing may hide a file that has just appeared, and a web server may take as long
    as it likes for a file, unless it sends nothing for a while. aiohttp's own bound is five minutes for a whole file."""
    if url.startswith(("s3://", "s3a://")):
        return {"use_listings_cache": False, "skip_instance_cache": True}
    protocol = url.rpartition("::")[2].partition("://")[0]
    if protocol in ("http", "https"):
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=_SILENCE_SECONDS, sock_read=_SILENCE_SECONDS)
        return {protocol: {"client_kwargs": {"timeout": timeout}}}
    return {}


def file_system(url: str, where: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it. UserError for a protocol that nobody knows."""
    python_fs.register()
    protocol = url.split("::", 1)[0].partition("://")[0] if "://" in url else "file"
    try:
        fsspec.get_filesystem_class(protocol)
        if protocol in ("s3", "s3a"):
            fs = _s3_client(
                os.getpid(), tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
            )
            return fs, str(fs._strip_protocol(url))
        fs, path = fsspec.core.url_to_fs(url, **options(url))
    except ValueError as error:
        raise UserError(
            "unknown-protocol",
            where,
            f"{url!r} cannot be opened: {error}.",
            "Write a path or one of file://, s3://, http://, https://, hf://, zip://, tar://, python://.",
        ) from error
    except ImportError as error:
        raise UserError("unknown-protocol", where, f"{protocol}:// cannot be used: {error}.", "Install it.") from error
    return fs, str(path)


@functools.lru_cache(maxsize=8)
def _s3_client(process: int, environment: tuple[tuple[str, str], ...]) -> Any:
    """One for all files: a client costs a tenth of a second of CPU time, which files of documents often do not.

    Both arguments only say which client may be used again: event loops do not survive a fork, and keys and address are
    read from the environment.
    """
    return fsspec.filesystem("s3", **options("s3://"))


def find(pattern: str, where: str) -> list[Location]:
    """The files that `pattern` names, sorted by URL, each once; at least one.

    A pattern may hold braces, `{000..099}` or `{a,b}`, and each of what they stand for globs. `where` is the field that holds the pattern. UserError for a file or bucket that does not exist, a glob that
    matches nothing, a folder, a missing permission, a broken archive, an unknown protocol or a dead address.
    """
    addresses = braces.expand(pattern, where)
    if len(addresses) > 1:
        listed = _listings(addresses, where)
        every = [file for address in addresses for file in listed.get(address) or find(address, where)]
        return sorted({file.url: file for file in every}.values(), key=lambda file: file.url)
    pattern = addresses[0]
    outer, separator, inner = pattern.partition("::")
    if not separator:
        return _matches(pattern, where, suffix="", container="")
    found: list[Location] = []
    for container in find(inner, where):
        found += _matches(f"{outer}::{container.url}", where, f"::{container.url}", f"{container.version}/")
    return found


def version(url: str, where: str) -> str:
    """What tells the versions of the file at an address apart, its size included; empty where its server does not say.
    The address is no pattern. UserError and SourceUnavailable as `reading` tells them."""
    ((_, entry),) = _entries(url, False, where)
    told = _version(entry)
    return told and f"{told} {entry.get('size')}"


def _version(entry: dict[str, Any]) -> str:
    return next((f"{key}={entry[key]}" for key in _VERSION_KEYS if entry.get(key) is not None), "")


def _listings(addresses: Sequence[str], where: str) -> dict[str, list[Location]]:
    """Those of many addresses that a listing of their folders finds: one request instead of one for each file.

    Web servers list nothing, and globs are listings already. What is missing here has an error of its own to be told.
    """
    by_folder: dict[str, list[str]] = {}
    for address in addresses:
        if "::" not in address and not web.is_web(address) and not _is_glob(address):
            by_folder.setdefault(address.rpartition("/")[0], []).append(address)
    found: dict[str, list[Location]] = {}
    for folder, inside in by_folder.items():
        if len(inside) < _WORTH_A_LISTING or not folder:
            continue
        with contextlib.suppress(UserError):
            names = {file.url.rpartition("/")[2]: file for file in _matches(f"{folder}/*", where, "", "")}
            found |= {a: [names[name]] for a in inside if (name := a.rpartition("/")[2]) in names}
    return found


def _is_glob(url: str) -> bool:
    if url.startswith(("http://", "https://")):
        return "*" in url  # a question mark begins the query, brackets are legal in it
    return any(character in url for character in "*?[")


def _matches(url: str, where: str, suffix: str, container: str) -> list[Location]:
    head = url.removesuffix(suffix) if suffix else url
    try:
        entries = patiently(lambda: _entries(url, _is_glob(head), where))
    except UserError:
        raise
    except Exception as error:
        if suffix and head.split("://", 1)[0] in _ARCHIVES:
            raise broken_archive(suffix.removeprefix("::"), head.split("://", 1)[0], where, error) from error
        raise
    files = []
    for fs, entry in entries:
        if not is_encodable(entry["name"]):
            what = f"the name of the file {entry['name']!r} is not valid UTF-8."
            raise UserError("invalid-utf8", where, what, "Rename the file, or write a glob without it.")
        name = entry["name"] if not suffix else f"{head.split('://', 1)[0]}://{entry['name']}"
        location = f"{name}{suffix}" if suffix else str(fs.unstrip_protocol(entry["name"]))
        size = entry.get("size")
        files.append(Location(location, -1 if size is None else int(size), container + _version(entry)))
    return sorted(files, key=lambda file: file.url)


def _entries(url: str, glob: bool, where: str) -> list[tuple[Any, dict[str, Any]]]:
    with reading(where, url):
        return _listed(url, glob, where)


def _listed(url: str, glob: bool, where: str) -> list[tuple[Any, dict[str, Any]]]:
    fs, path = file_system(url, where)
    if glob:
        found = [_followed(fs, entry, where) for entry in fs.glob(path, detail=True).values()]
        for entry in found:
            _refuse_no_file(entry, path, where)
        files = [(fs, _real(fs, entry, where)) for entry in found if entry["type"] == "file"]
        if not files:
            instead = "Write a glob that matches files."
            if "file" in _protocols(fs) and os.path.lexists(path):
                name = os.path.basename(path)
                instead = f"There is a file of that name: write {_literal(name)} for {name}."
            raise UserError("empty-glob", where, f"{url} matches no file.", instead)
        return files
    entry = fs.info(path)
    if entry["type"] == "directory":
        raise IsADirectoryError(url)
    if entry["type"] != "file":
        raise UserError("not-a-file", where, f"{url} is no regular file.", "Write the path of regular files.")
    if "file" in _protocols(fs) and not os.access(path, os.R_OK):
        raise PermissionError(path)
    return [(fs, _real(fs, entry, where))]


def _followed(fs: Any, entry: dict[str, Any], where: str) -> dict[str, Any]:
    """What a symbolic link leads to, under the link's name: a glob's own entry is the link and no file."""
    if not entry.get("islink"):
        return entry
    try:
        return dict(fs.info(entry["name"]))
    except OSError as error:
        what = f"{entry['name']} is a symbolic link that leads nowhere: {os.strerror(error.errno or errno.ENOENT)}."
        raise UserError("file-not-found", where, what, "Remove it, or write a glob without it.") from error


def _refuse_no_file(entry: dict[str, Any], glob: str, where: str) -> None:
    """Raise UserError for what a glob finds and nobody can read: a pipe, a socket or a device, and a folder where the glob
    has an ending (`*.tar`). What was meant to be a file would be passed over without a word; `*` passes over folders."""
    passing = {"file": "", "directory": "a folder" if _ENDING.search(glob) else ""}
    if found := passing.get(entry["type"], "no regular file"):
        what = f"{entry['name']} is {found}, and {glob} finds it."
        raise UserError("not-a-file", where, what, "Move it away, or write a glob without it.")


def _real(fs: Any, entry: dict[str, Any], where: str) -> dict[str, Any]:
    """The entry, if its content is on a disk. The kernel makes files of these folders up as they are read, without a size."""
    if "file" in _protocols(fs) and os.path.realpath(entry["name"]).startswith(("/proc/", "/sys/")):
        what = f"{entry['name']} is no regular file: the kernel makes it up."
        raise UserError("not-a-file", where, what, "Write the path of regular files.")
    return entry


def _literal(name: str) -> str:
    """A glob that matches only this name."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _protocols(fs: Any) -> tuple[str, ...]:
    return fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)


def broken_archive(url: str, kind: str, where: str, error: BaseException) -> UserError:
    """The error for an archive that cannot be read."""
    return UserError(
        "broken-archive",
        where,
        f"{url} cannot be read as {kind}: {error}.",
        "Check that the archive is whole and of this kind.",
    )


def digest(locations: Iterable[Location]) -> str:
    """Identity of a listing: SHA-256 over URLs, sizes and versions, as hex digits."""
    state = hashlib.sha256()
    for location in locations:
        state.update(f"{location.url}\0{location.size}\0{location.version}\n".encode())
    return state.hexdigest()
