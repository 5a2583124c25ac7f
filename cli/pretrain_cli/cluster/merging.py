"""The logs of many pods as one, by time. Any number of pods; a bounded number of connections, files and memory."""

from __future__ import annotations

import heapq
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import IO

from pretrain_api.errors import PretrainError
from pretrain_cli.cluster.log_lines import LogLine, parsed
from pretrain_cli.cluster.log_streams import LogLost, PodLog

AT_ONCE = 64
"""Logs read at the same time, and files open for each merge."""
_IN_MEMORY = 1 << 20


def merged(
    logs: Sequence[PodLog], say: Callable[[str], None], at_once: int = AT_ONCE
) -> Iterator[tuple[PodLog, LogLine]]:
    """Every line written so far with the log it is of, by time; a log's own order is kept. `say` is told of those that
    cannot be read.

    Groups of logs are merged into files, then the files: 4,096 logs need 64 connections and 128 files.
    """
    with ExitStack() as files:
        groups: list[Iterable[bytes]] = []
        for first in range(0, len(logs), at_once):
            numbers = range(first, min(first + at_once, len(logs)))
            with ExitStack() as own:
                in_one = len(logs) <= at_once
                spooled = {number: (files if in_one else own).enter_context(_file()) for number in numbers}
                _spool_all(logs, spooled, say)
                if in_one:
                    groups += spooled.values()
                else:
                    groups.append(_written(files.enter_context(_file()), heapq.merge(*spooled.values(), key=_key)))
        for record in heapq.merge(*groups, key=_key):
            number, _, line = record.partition(b" ")
            yield logs[int(number)], parsed(line.removesuffix(b"\n"))


def _spool_all(
    logs: Sequence[PodLog], spooled: dict[int, SpooledTemporaryFile[bytes]], say: Callable[[str], None]
) -> None:
    """Read logs side by side. Daemon threads: Ctrl-C waits for none of them."""
    results: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    for number, file in spooled.items():
        arguments = (number, logs[number], file, results)
        threading.Thread(target=_spool, args=arguments, daemon=True).start()
    for _ in spooled:
        error = results.get()
        if isinstance(error, LogLost):
            say(str(error))
        elif error:
            raise error
    for file in spooled.values():
        file.seek(0)


def _spool(number: int, log: PodLog, file: IO[bytes], results: queue.SimpleQueue[Exception | None]) -> None:
    """Write a log's lines with its number."""
    try:
        file.writelines(b"%d %s\n" % (number, line.raw) for line in log.written())
    except (PretrainError, OSError) as error:  # OSError: the disk is full
        results.put(error)
    else:
        results.put(None)


def _file() -> SpooledTemporaryFile[bytes]:
    return SpooledTemporaryFile(_IN_MEMORY)


def _written(file: SpooledTemporaryFile[bytes], records: Iterable[bytes]) -> SpooledTemporaryFile[bytes]:
    file.writelines(records)
    file.seek(0)
    return file


def _key(record: bytes) -> bytes:
    return parsed(record.partition(b" ")[2]).key
