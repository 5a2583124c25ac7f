"""WebDataset tars as other people's tools write them, whole and broken."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np


def tar(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of the files, in their order; a name may stand in it twice."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def tar_of_one(kind: bytes, target: str = "") -> bytes:
    """A tar of one file that is no regular one."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.type, member.linkname = kind, target
        archive.addfile(member)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def image(seed: int = 0, form: str = "JPEG", size: tuple[int, int] = (32, 24)) -> bytes:
    """An image with content that depends on the seed."""
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(out, form)
    return out.getvalue()


def captioned(folder: Path, shards: int = 3, records: int = 5) -> Path:
    """A folder of image-text shards."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        files = dict[str, bytes]()
        for number in range(shard * records, (shard + 1) * records):
            files[f"{number:06d}.jpg"] = image(number)
            files[f"{number:06d}.txt"] = f"caption of image {number}".encode()
        (folder / f"{shard:06d}.tar").write_bytes(tar(files))
    return folder
