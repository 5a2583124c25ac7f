"""An S3 server on a folder of this machine, for tests and pods: versitygw with its POSIX backend."""

import json
import secrets
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.cluster import mounts, places, processes, programs
from support.cluster.ports import free_port
from support.cluster.processes import Process


class S3Server:
    """One server; buckets are folders below `buckets`. Another process finds it again by its folder."""

    def __init__(self, folder: Path, address: str = "127.0.0.1", *, dies_with_parent: bool = True) -> None:
        self.folder = folder
        self._process: Process | None = None
        """Where this process itself has started it."""
        self.buckets = folder / "buckets"
        self._dies_with_parent = dies_with_parent
        self._settings = folder / "s3.json"
        if not self._settings.exists():
            self.buckets.mkdir(parents=True)
            keys = {
                "access": "pretrain",
                "secret": secrets.token_hex(16),
                "endpoint": f"{address}:{free_port(address)}",
            }
            self._settings.write_text(json.dumps(keys))
        settings = json.loads(self._settings.read_text())
        self.access_key: str = settings["access"]
        self.secret_key: str = settings["secret"]
        self._listen: str = settings["endpoint"]

    @property
    def url(self) -> str:
        """The endpoint, for this machine and for pods of a cluster whose network the server is in."""
        return f"http://{self._listen}"

    @property
    def environment(self) -> dict[str, str]:
        """What S3 clients read."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Also after it was stopped or killed, with the same buckets at the same address."""
        self._process = processes.start(
            self.folder,
            "versitygw",
            [programs.find("versitygw"), "--quiet", "--keep-alive", "--port", self._listen, "posix", self.buckets],
            environment={"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key},
            dies_with_parent=self._dies_with_parent,
        )
        self._process.until(self._answers)

    def make_bucket(self, name: str) -> str:
        """A bucket; its URI."""
        (self.buckets / name).mkdir(exist_ok=True)
        return f"s3://{name}"

    def stop(self) -> None:
        for process in self._processes():
            process.kill()

    def _processes(self) -> list[Process]:
        return [self._process] if self._process else list(processes.recorded(self.folder))

    def freeze(self) -> None:
        """It hangs: connections are taken by the kernel, and nobody answers."""
        for process in self._processes():
            process.process.suspend()

    def thaw(self) -> None:
        for process in self._processes():
            process.process.resume()

    @contextmanager
    def full(self, bucket: str) -> Iterator[None]:
        """No space for another object in a bucket; what is there can be read. The server writes an object into a folder of the
        bucket first, and there a file system without a free byte lies over it meanwhile."""
        over = self.buckets / bucket / ".sgwtmp"
        over.mkdir(exist_ok=True)
        mounts.require_mounts()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", over], check=True)
        try:
            with suppress(OSError):  # it fills up before all of this is in it
                (over / "full").write_bytes(bytes(8192))
            yield
        finally:
            mounts.unmount_below(over)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()  # it refuses a stranger, so it is there
        except OSError:
            return False
        return True


CREDENTIALS = "s3-credentials"
"""Name of the Secret in manifests/samples."""


def credentials(values: Mapping[str, str], name: str = CREDENTIALS) -> dict[str, Any]:
    """A Secret for spec.storage.secretRef."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(values)}


@contextmanager
def s3_server(address: str = "127.0.0.1") -> Iterator[S3Server]:
    """A server of its own, gone at the end."""
    for folder, lock in places.left_behind("s3"):
        S3Server(folder).stop()
        mounts.unmount_below(folder)
        places.remove_folder(folder, lock)
    folder, lock = places.new_folder("s3")
    server = S3Server(folder, address)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        places.remove_folder(folder, lock)
