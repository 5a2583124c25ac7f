"""A cluster that somebody else runs, kind or k3d say, in the place of the development cluster."""

import os
import shlex
import socket
import subprocess
from contextlib import closing
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from support.cluster.cluster import DevelopmentCluster
from support.cluster.kubectl import Kubectl
from support.cluster.missing import MissingPart
from support.cluster.s3 import S3Server

IMAGE_LOADER = "PRETRAIN_IMAGE_LOADER"
"""Command that brings an image archive into the cluster's nodes; `{}` is the archive."""
HOST_ADDRESS = "PRETRAIN_HOST_ADDRESS"
"""Address of this machine as the cluster's pods see it."""


class ForeignCluster:
    """What a kubeconfig says. Its nodes cannot be cut off, frozen or killed from here."""

    busybox = "busybox:1.37"

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.kubeconfig = kubeconfig
        self.folder = folder

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.kubeconfig)

    @cached_property
    def s3(self) -> S3Server:
        """A server on this machine; pods must be able to reach it."""
        server = S3Server(self.folder / "s3", self._address())
        server.start()
        return server

    def load_image(self, archive: Path) -> None:
        loader = os.environ.get(IMAGE_LOADER)
        if loader is None:
            raise MissingPart(
                f"set {IMAGE_LOADER}, to `kind load image-archive {{}}` say, to bring {archive} to the nodes"
            )
        subprocess.run([part.replace("{}", str(archive)) for part in shlex.split(loader)], check=True)

    def stop(self) -> None:
        if "s3" in self.__dict__:
            self.s3.stop()

    def _address(self) -> str:
        if HOST_ADDRESS in os.environ:
            return os.environ[HOST_ADDRESS]
        server = urlsplit(self.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"))
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
            probe.connect((server.hostname, server.port or 443))  # sends nothing; the kernel picks the way
            address: str = probe.getsockname()[0]
        if address.startswith("127."):
            raise MissingPart(f"set {HOST_ADDRESS} to the address of this machine that the cluster's pods can reach")
        return address


AnyCluster = DevelopmentCluster | ForeignCluster
