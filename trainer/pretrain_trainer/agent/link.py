"""Messages between agents: JSON, a line each, over a connection that is never waited for longer than asked."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any

_AT_ONCE = 1 << 16
_LONGEST = 1 << 20
"""Bytes of a line. Whoever sends more is no agent."""


class Link:
    """A connection to another agent."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket, self._rest = connection, b""
        self.is_open = True
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanishes without a word, with its machine or its network, is found out after some 15 s.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 2)):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Messages are far smaller than a socket's buffer; where one does not fit, the peer has long stopped reading."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.close()

    def received(self) -> list[dict[str, Any]]:
        """The messages that have come since the last call."""
        lines = []
        try:
            while content := self._socket.recv(_AT_ONCE):
                *complete, self._rest = (self._rest + content).split(b"\n")
                lines += complete
            self.close()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
        found: list[dict[str, Any]] = []
        try:
            found = [dict(json.loads(line)) for line in lines]
        except (ValueError, TypeError):
            self.close()
        if len(self._rest) > _LONGEST:
            self.close()
        return found

    def close(self) -> None:
        """Nothing is sent or received any more."""
        self.is_open = False
        with contextlib.suppress(OSError):
            self._socket.close()
