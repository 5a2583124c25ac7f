"""Builds the Dockerfile's targets with buildah, over the stand-in for its base. No image registry is asked.

Everything is kept in one folder per state of the trainer's dependencies, so that a change of our own code builds a thin layer and
nothing else. The folder of another state is removed: each has several copies of torch.
"""

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from support.cluster.missing import MissingPart
from support.cluster.mounts import require_mounts
from support.cluster.places import CACHE, REPOSITORY, Lock
from support.images import base
from support.images.image import Image

TARGETS = ("operator", "trainer")
FOLDER = CACHE / "images"
_NEEDS_BYTES = 25_000_000_000
"""Of a first build: the trainer's layers are written as files, as archive and as blobs; 14 GB stay."""
_BEHIND_THE_LARGE_LAYERS = "\nFROM base AS operator-dependencies\n"
"""Where in the Dockerfile the rest begins: buildah finds by itself what a change there concerns."""
_DECIDES_THE_LARGE_LAYERS = (
    "requirements-trainer.lock",
    "scripts/fetch_uv.py",
    "scripts/install_dependencies.sh",
    "tests/support/images/base.py",
)


def build(target: str, *options: str, settings: Mapping[str, str] | None = None, source: Path = REPOSITORY) -> Image:
    """One target of the Dockerfile, or one of its stages; `settings` are further lines of the secret `build.env`.

    Cold, the trainer takes minutes, as torch is installed; after a change of our own code, seconds.
    """
    check_parts()
    with _at_work() as folder, tempfile.TemporaryDirectory() as scratch:
        _make_base(folder)
        identity, secrets = Path(scratch, "identity"), Path(scratch, "build.env")
        arguments = ["build", "--isolation", "chroot", "--network", "host", "--pull-never", "--layers"]
        # One date for all files of a layer: the same input gives the same digests.
        arguments += ["--timestamp", "0", "--identity-label=false", "--blob-cache", str(folder / "blobs")]
        arguments += ["--secret", f"id=build.env,src={secrets}", "--target", target, "--iidfile", str(identity)]
        values = {"UV_DEFAULT_INDEX": _fetch_uv().package_index(), **(settings or {})}
        if authorities := _authorities():
            arguments += ["--secret", f"id=build.crt,src={authorities}"]
            values["SSL_CERT_FILE"] = "/run/secrets/build.crt"
        if cache := _uv_cache():
            # What `make setup` downloaded is not downloaded again.
            arguments += ["--volume", f"{cache}:/run/uv-cache"]
            values["UV_CACHE_DIR"] = "/run/uv-cache"
        secrets.write_text("".join(f"{key}='{value}'\n" for key, value in values.items()))
        _buildah(folder, *arguments, *options, str(source))
        found = identity.read_text()
        name = f"localhost/pretrain/{target}:{found.removeprefix('sha256:')[:12]}"
        _buildah(folder, "tag", found, name)
        return Image(name, found, folder / "blobs")


@contextmanager
def root_file_system(image: Image) -> Iterator[Path]:
    """The image's files as a container would see them. Nothing can be built meanwhile."""
    with _at_work() as folder:
        container = _buildah(folder, "from", "--pull-never", image.name).strip()
        yield Path(_buildah(folder, "mount", container).strip())


def check_parts() -> None:
    """What this machine lacks for building images."""
    if os.geteuid() != 0:
        raise MissingPart("images are built by root: run the tests as root, or see docs/how-to/build-images.md")
    for program in ("buildah", "debootstrap"):
        if not shutil.which(program):
            raise MissingPart(f"{program} is not on this machine: apt-get install --no-install-recommends {program}")
    require_mounts()
    FOLDER.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(FOLDER).free
    if free < _NEEDS_BYTES and not any(path.is_dir() for path in FOLDER.iterdir()):
        raise MissingPart(f"images need {_NEEDS_BYTES / 1e9:.0f} GB of disk, and {FOLDER} has {free / 1e9:.0f} GB left")


def state_folder() -> Path:
    """Where everything about the present state of the trainer's dependencies is kept."""
    recipe, behind, _ = (REPOSITORY / "Dockerfile").read_text().partition(_BEHIND_THE_LARGE_LAYERS)
    assert behind, "the Dockerfile's stages have changed their order or names"
    content = b"".join(Path(REPOSITORY, name).read_bytes() for name in _DECIDES_THE_LARGE_LAYERS)
    return FOLDER / hashlib.sha256(content + f"{recipe}{platform.machine()}".encode()).hexdigest()[:16]


@contextmanager
def _at_work() -> Iterator[Path]:
    """The folder for this process alone. What an interrupted build left in it is gone."""
    folder = state_folder()
    FOLDER.mkdir(parents=True, exist_ok=True)
    lock = Lock(FOLDER / "lock", wait=True)
    try:
        for other in FOLDER.iterdir():
            if other.is_dir() and other != folder:
                _forget_containers(other)
                shutil.rmtree(other)
        _forget_containers(folder)
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        for name in ("blobs", "scratch"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        yield folder
    finally:
        _forget_containers(folder)
        lock.release()


def _forget_containers(folder: Path) -> None:
    if (folder / "storage").exists():
        (folder / "scratch").mkdir(exist_ok=True)
        _buildah(folder, "rm", "--all")
        # buildah leaves its storage mounted onto itself.
        subprocess.run(["umount", folder / "storage" / "overlay"], capture_output=True)


def _make_base(folder: Path) -> None:
    name = base_name()
    if _buildah(folder, "images", "--quiet", "--filter", f"reference={name}").strip():
        return
    archive = FOLDER / f"base-{hashlib.sha256(Path(base.__file__).read_bytes()).hexdigest()[:16]}.tar"
    if not archive.exists():
        base.make(archive)
    container = _buildah(folder, "from", "scratch").strip()
    _buildah(folder, "add", "--quiet", container, str(archive), "/")
    options = ["--timestamp", "0", "--identity-label=false", "--disable-compression"]
    _buildah(folder, "commit", "--rm", *options, "--blob-cache", str(folder / "blobs"), container, name)


def base_name() -> str:
    """The base that the Dockerfile names."""
    found = re.search(r"^ARG BASE=(\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    assert found, "the Dockerfile names no base"
    return found.group(1)


def _buildah(folder: Path, *arguments: str) -> str:
    store = ["--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "overlay"]
    done = subprocess.run(
        ["buildah", *map(str, store), *arguments],
        # Layers pass through temporary files: on the disk that has room for them.
        env={**os.environ, "TMPDIR": str(folder / "scratch")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"buildah {arguments[0]} failed:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
    return done.stdout


def _fetch_uv() -> ModuleType:
    """The set-up's own module: it knows the package index that this machine is configured for."""
    spec = importlib.util.spec_from_file_location("fetch_uv", REPOSITORY / "scripts" / "fetch_uv.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _authorities() -> str | None:
    """This machine's certificates, with those of a mirror or proxy among them."""
    for path in (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile,
                 "/etc/ssl/certs/ca-certificates.crt"):  # fmt: skip
        if path and Path(path).is_file():
            return path
    return None


def _uv_cache() -> Path | None:
    uv: Sequence[str | Path] = [REPOSITORY / ".venv" / "bin" / "uv", "cache", "dir"]
    try:
        path = Path(subprocess.run(uv, capture_output=True, text=True, check=True).stdout.strip())
    except (OSError, subprocess.CalledProcessError):
        return None
    path.mkdir(parents=True, exist_ok=True)
    return path
