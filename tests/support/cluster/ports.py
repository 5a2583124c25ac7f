"""Free ports of this machine for servers that must be told their port."""

import random
import socket


def free_port(address: str = "127.0.0.1") -> int:
    """A port below the range that the kernel gives to outgoing connections, so that none takes it in between."""
    for _ in range(200):
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port on {address}")
