"""A certificate authority of a cluster's own, and certificates of its components and users, made with OpenSSL."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.cluster.missing import MissingPart

_SUBJECT_SPECIALS = "/+=\\"


@dataclass(frozen=True)
class Pair:
    """Certificate and private key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs for one cluster; everything lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.pair = Pair(folder / "ca.crt", folder / "ca.key")
        if not self.pair.certificate.exists():
            _openssl("req", "-x509", *_NEW_KEY, "-keyout", self.pair.key, "-out", self.pair.certificate,
                     "-days", "365", "-subj", "/CN=pretrain-cluster")  # fmt: skip

    @property
    def certificate(self) -> Path:
        return self.pair.certificate

    def client(self, user: str, *groups: str) -> Pair:
        """What a user of the API proves who it is with. The first certificate of a name stays."""
        return self._signed(user, "".join(f"/O={_escaped(group)}" for group in groups), "extendedKeyUsage=clientAuth")

    def client_of(self, user: str) -> Pair:
        """The certificate that a user already has."""
        return self._place(user)

    def server(self, name: str, *alternatives: str, groups: tuple[str, ...] = ()) -> Pair:
        """For a server known by these names and addresses; it may act as a client too."""
        subjects = ",".join(f"{'IP' if _is_address(each) else 'DNS'}:{each}" for each in alternatives)
        return self._signed(
            name,
            "".join(f"/O={_escaped(group)}" for group in groups),
            f"extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={subjects}",
        )

    def signing_key(self, name: str) -> Pair:
        """A key pair that signs tokens; its `certificate` is the bare public key."""
        pair = Pair(self.folder / f"{name}.pub", self.folder / f"{name}.key")
        if not pair.certificate.exists():
            _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", pair.key)
            _openssl("pkey", "-in", pair.key, "-pubout", "-out", pair.certificate)
        return pair

    def _signed(self, name: str, organizations: str, extensions: str) -> Pair:
        pair = self._place(name)
        if pair.certificate.exists():
            return pair
        request, text = pair.key.with_suffix(".csr"), pair.key.with_suffix(".ext")
        text.write_text(extensions + "\n")
        _openssl("req", "-new", *_NEW_KEY, "-keyout", pair.key, "-out", request,
                 "-subj", f"{organizations}/CN={_escaped(name)}")  # fmt: skip
        _openssl("x509", "-req", "-in", request, "-CA", self.pair.certificate, "-CAkey", self.pair.key,
                 "-CAcreateserial", "-days", "365", "-extfile", text, "-out", pair.certificate)  # fmt: skip
        return pair

    def _place(self, name: str) -> Pair:
        stem = name.replace(":", "-").replace("/", "-")
        return Pair(self.folder / f"{stem}.crt", self.folder / f"{stem}.key")


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise MissingPart("certificates need the program openssl: apt-get install openssl")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in _SUBJECT_SPECIALS else letter for letter in text)


def _is_address(text: str) -> bool:
    return text.replace(".", "").isdigit()
