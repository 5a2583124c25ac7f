"""Messages between agents: JSON, a line each, over a connection that is never waited for longer than asked."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
from collections.abc import Mapping
from typing import Any

_AT_ONCE = 1 << 16
_LONGEST = 1 << 20
"""Bytes of a line. Whoever sends more is no agent."""
_PROBES, _SILENCE_SECONDS = 4, 5
"""A peer that vanishes without a word, with its machine or its network, is found out after so many seconds. The kernels
ask each other, so a machine that is merely busy is not taken for a dead one."""
_ENDED = (errno.ECONNRESET, errno.EPIPE)
_NOT_THERE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)


class Link:
    """A connection to another agent."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket, self._rest = connection, b""
        self.is_open = True
        self.is_silent = False
        """Whether it was given up because nothing came back from the other machine."""
        self.has_ended = False
        """Whether the other machine has ended it, as it does when a program there ends in whatever way."""
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_NODELAY, 1),
            (socket.TCP_KEEPIDLE, 1),
            (socket.TCP_KEEPINTVL, 1),
            (socket.TCP_KEEPCNT, _PROBES),
            # Of what was sent and not acknowledged, for which there are no probes.
            (socket.TCP_USER_TIMEOUT, 1000 * _SILENCE_SECONDS),
        ):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Messages are far smaller than a socket's buffer; where one does not fit, the peer has long stopped reading."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            self._lose(error)

    def received(self) -> list[dict[str, Any]]:
        """The messages that have come since the last call."""
        lines = []
        try:
            while content := self._socket.recv(_AT_ONCE):
                *complete, self._rest = (self._rest + content).split(b"\n")
                lines += complete
            self.has_ended = True
            self.close()
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(error)
        found: list[dict[str, Any]] = []
        try:
            found = [dict(json.loads(line)) for line in lines]
        except (ValueError, TypeError):
            self.close()
        if len(self._rest) > _LONGEST:
            self.close()
        return found

    def _lose(self, error: OSError) -> None:
        self.is_silent, self.has_ended = error.errno in _NOT_THERE, error.errno in _ENDED
        self.close()

    def close(self) -> None:
        """Nothing is sent or received any more."""
        self.is_open = False
        with contextlib.suppress(OSError):
            self._socket.close()
