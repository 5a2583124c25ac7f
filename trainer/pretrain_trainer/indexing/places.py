"""Which tars are to be indexed, and where their indexes and the manifest go."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from pretrain_api.errors import UserError
from pretrain_api.samples import INDEX_SUFFIX
from pretrain_trainer.documents import locations, web
from pretrain_trainer.documents.locations import Location

_WHERE = "URI"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".gz", ".zst", ".bz2", ".xz")


@dataclass(frozen=True)
class Tar:
    """A tar that is to be indexed."""

    url: str
    bytes: int
    """-1: the server does not say."""
    etag: str
    modified: str
    name: str
    """As the manifest names it: relative to the manifest's folder, or the whole address."""
    index: str
    """Path of its index relative to the manifest's folder."""


@dataclass(frozen=True)
class Places:
    """The tars in the order of their addresses, and the folder of the manifest."""

    tars: Sequence[Tar]
    folder: str


def find(patterns: Sequence[str], to: str) -> Places:
    """The tars that the patterns name: files, globs, braces, or folders with tars.

    The manifest's folder is `to`, or the innermost one that holds all tars. UserError for what is no tar by its name, for
    tars on a web server without `to`, and for what pretrain_trainer.documents.locations refuses.
    """
    files = {file.url: file for pattern in patterns for file in _files(pattern)}
    urls = sorted(files)
    for url in urls:
        _check_name(url)
    paths = [web.file_name(url) if web.is_web(url) else url for url in urls]
    root = _folder(paths)
    if not to and web.is_web(urls[0]):
        raise UserError(
            "index-place",
            _WHERE,
            f"nothing can be written beside {urls[0]}.",
            "Write --to with a folder for the indexes and the manifest.",
        )
    inside = [posixpath.relpath(_path(path), _path(root)) for path in paths]
    beside = not to or _same(to, root)
    tars = [
        Tar(
            url,
            files[url].size,
            *_version(files[url]),
            name if beside else url,
            name.removesuffix(".tar") + INDEX_SUFFIX,
        )
        for url, name in zip(urls, inside, strict=True)
    ]
    _refuse_one_index_for_two(tars)
    return Places(tars, root if beside else to)


def _refuse_one_index_for_two(tars: Sequence[Tar]) -> None:
    """Addresses that differ behind the question mark alone have one file name, and so one index."""
    first = dict[str, Tar]()
    for tar in tars:
        if (other := first.setdefault(tar.index, tar)) is not tar:
            raise UserError(
                "index-place",
                _WHERE,
                f"{other.url} and {tar.url} would have one index, {tar.index}.",
                "Index them one after the other, each with a folder of its own in --to.",
            )


def _files(pattern: str) -> list[Location]:
    if pattern.startswith("pipe:"):
        what = f"{pattern} is a command to run, not an address."
        raise UserError(
            "unknown-protocol", _WHERE, what, "Write the address of the tars itself: s3://, https:// or a path."
        )
    if "::" in pattern:
        what = f"{pattern} is a file within another one."
        raise UserError("unknown-protocol", _WHERE, what, "Write the address of plain tars.")
    if pattern.endswith("/"):
        return locations.find(f"{pattern}*.tar", _WHERE)
    try:
        return locations.find(pattern, _WHERE)
    except UserError as error:
        if error.code != "folder-given":
            raise
        return locations.find(f"{pattern}/*.tar", _WHERE)


def _check_name(url: str) -> None:
    if "::" in url:
        what = "the name holds '::', by which addresses name files within others."
        raise UserError("unknown-protocol", url, what, "Rename the tar.")
    name = (web.file_name(url) if web.is_web(url) else url).lower()
    if name.endswith(_COMPRESSED):
        raise UserError(
            "compressed-tar",
            url,
            "the tar is compressed, so its records cannot be read one by one.",
            "Decompress it and index the .tar; images are compressed already. As spec.data.sources[].documents it can be "
            "read as it is.",
        )
    if not name.endswith(".tar"):
        raise UserError("not-a-tar", url, "the name does not end in .tar.", "Write the address of .tar files alone.")


def _version(file: Location) -> tuple[str, str]:
    """The store's tag of the object, else its time."""
    key, _, value = file.version.partition("=")
    value = value.strip('"')
    return (value, "") if key.lower() in ("etag", "version", "blob_id") else ("", value)


def _folder(paths: Sequence[str]) -> str:
    """The innermost folder that holds all of them. UserError where they lie in different stores."""
    schemes = {path.partition("://")[0] for path in paths}
    common = posixpath.commonpath([posixpath.dirname(_path(path)) for path in paths])
    scheme = schemes.pop()
    if schemes or (scheme != "file" and not common):
        raise UserError(
            "index-place",
            _WHERE,
            f"{paths[0]} and {paths[-1]} have no folder in common.",
            "Index them one after the other, or write --to with a folder for all indexes.",
        )
    return f"{scheme}://{common}"


def _path(url: str) -> str:
    return url.partition("://")[2]


def _same(one: str, other: str) -> bool:
    """Whether two addresses name one folder, as far as their spelling tells."""
    fs, path = locations.file_system(one, "--to")
    return str(fs.unstrip_protocol(path)).rstrip("/") == other.rstrip("/")
