"""The `python://` file system: the standard library of the running Python and its reference manual, read-only.

python://lib/json/decoder.py      a module of the standard library, its tests left out
python://pydoc/lambda.txt         a topic of the manual that `help()` shows
"""

from __future__ import annotations

import functools
import importlib
import io
import os
import platform
import sysconfig
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem

_LEFT_OUT = frozenset({"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"})
"""Folders that are not the library itself. Its tests hold broken encodings on purpose, and many systems lack them."""


def register() -> None:
    """Make fsspec know `python://`. Registering twice is fine."""
    fsspec.register_implementation("python", PythonFileSystem, clobber=True)


@functools.cache
def _topics() -> dict[str, bytes]:
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    return {f"pydoc/{name.replace('/', '_')}.txt": text.encode() for name, text in topics.items()}


@functools.cache
def _modules() -> dict[str, tuple[str, int]]:
    """Path below `python://` -> (path on disk, size in bytes)."""
    root = sysconfig.get_paths()["stdlib"]
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, root).replace(os.sep, "/")
                found[f"lib/{relative}"] = (path, os.path.getsize(path))
    return found


class PythonFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """Read-only file system over this Python's own text. A file's version is the version of Python."""

    protocol = "python"
    root_marker = ""

    def _entry(self, path: str) -> dict[str, Any] | None:
        version = f"{platform.python_implementation()} {platform.python_version()}"
        if path in _topics():
            return {"name": path, "size": len(_topics()[path]), "type": "file", "version": version}
        if path in _modules():
            return {"name": path, "size": _modules()[path][1], "type": "file", "version": version}
        return None

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Entries of a folder, or the file itself. FileNotFoundError where there is neither."""
        path = self._strip_protocol(path).strip("/")
        if entry := self._entry(path):
            return [entry] if detail else [path]
        prefix = f"{path}/" if path else ""
        entries: dict[str, dict[str, Any]] = {}
        for name in (*_modules(), *_topics()):
            if name.startswith(prefix):
                child = prefix + name[len(prefix) :].split("/", 1)[0]
                if child not in entries:
                    entries[child] = self._entry(child) or {"name": child, "size": 0, "type": "directory"}
        if not entries:
            raise FileNotFoundError(path)
        return [entries[name] for name in sorted(entries)] if detail else sorted(entries)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BufferedIOBase:
        if mode != "rb":
            raise OSError(f"python://{path}: this file system is read-only")
        if path in _topics():
            return io.BytesIO(_topics()[path])
        if path in _modules():
            return open(_modules()[path][0], "rb")
        raise FileNotFoundError(path)
