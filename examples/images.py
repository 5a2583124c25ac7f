"""Writes small data sets of images as WebDataset tars with an index, for the examples that learn from images.

    python examples/images.py
    python examples/images.py digits --to /data/images

digits: 1,797 handwritten digits (scikit-learn's, of UCI), scaled up from 8 px, with what is written as caption.
emoji: 1,911 emoji of Noto (Apache-2.0) of 64 px, with their Unicode names as captions, from the npm package
emoji-datasource-google (MIT); 74 MB are downloaded from the npm registry that is configured, and an interrupted download
goes on where it was.

Each image's JSON has its `category`: the digit, or the group that Unicode puts the emoji in. The same bytes every time.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PACKAGE = "emoji-datasource-google/-/emoji-datasource-google-16.0.0.tgz"
SHA512 = "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A=="
"""As the registry states it."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT_SIDE = 32
_CHUNK = 1 << 20

Record = tuple[str, dict[str, bytes]]
"""Its key, and its files by the ends of their names."""


def digits() -> Iterator[Record]:
    """Grey images, dark on white."""
    from PIL import Image
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    for number, (levels, digit) in enumerate(zip(found.images, found.target.tolist(), strict=True)):
        small = Image.fromarray((255 - levels * (255 / 16)).round().astype("uint8"))
        png = io.BytesIO()
        small.resize((DIGIT_SIDE, DIGIT_SIDE), Image.Resampling.BICUBIC).save(png, "PNG")
        yield f"{number:04d}", _files(png.getvalue(), f"the digit {DIGITS[digit]}", category=str(digit))


def emoji(package: Path) -> Iterator[Record]:
    """Those that Google has drawn, without their variants of skin colour, in Unicode's order."""
    images, listed = dict[str, bytes](), list[dict[str, Any]]()
    with tarfile.open(package, "r|gz") as archive:
        for member in archive:
            if "/img/google/64/" in member.name and (file := archive.extractfile(member)):
                images[Path(member.name).name] = file.read()
            elif member.name == "package/emoji.json" and (file := archive.extractfile(member)):
                listed = json.load(file)
    for each in sorted(listed, key=lambda each: each["sort_order"]):
        if each["has_img_google"]:
            facts = {name: each[name] for name in ("name", "short_name", "category", "subcategory")}
            yield each["unified"].lower(), _files(images[each["image"]], each["name"].lower(), **facts)


def _files(png: bytes, caption: str, **facts: str) -> dict[str, bytes]:
    return {"png": png, "txt": caption.encode(), "json": json.dumps(facts).encode()}


def write(records: Iterable[Record], tar: Path) -> int:
    """Write a tar, whole or not at all; the number of its records."""
    tar.parent.mkdir(parents=True, exist_ok=True)
    unfinished, count = tar.with_suffix(".unfinished"), 0
    with tarfile.open(unfinished, "w", format=tarfile.GNU_FORMAT) as archive:
        for key, files in records:
            count += 1
            for end, content in files.items():
                member = tarfile.TarInfo(f"{key}.{end}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    unfinished.replace(tar)
    return count


def registry() -> str:
    """The npm registry that is configured."""
    if shutil.which("npm"):
        asked = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True)
        if asked.returncode == 0 and asked.stdout.strip().startswith("http"):
            return asked.stdout.strip().rstrip("/")
    # The public registry is the default that npm itself has where nothing is configured.
    return os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")


def download(address: str, sha512: str, file: Path) -> None:
    """Download what has that SHA-512, base64. Goes on behind what is there of it. Raises OSError where it ends early."""
    file.parent.mkdir(parents=True, exist_ok=True)
    there = file.stat().st_size if file.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            goes_on = answer.status == 206
            done = there if goes_on else 0
            total = done + int(answer.headers.get("Content-Length", 0))
            with file.open("ab" if goes_on else "wb") as out:
                while chunk := answer.read(_CHUNK):
                    out.write(chunk)
                    done += len(chunk)
                    if sys.stderr.isatty():
                        print(f"\r{done / 1e6:.0f} of {total / 1e6:.0f} MB", end="", file=sys.stderr, flush=True)
        if done < total:
            raise OSError(f"it ended after {done:,} of {total:,} bytes")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # of a range that begins at the end: all is there
            raise
    digest = hashlib.sha512()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    if base64.b64encode(digest.digest()).decode() != sha512:
        file.unlink()
        sys.exit(f"error: {address} has another SHA-512 than the one expected. Run the command again.")


def main() -> int:
    """Write what is not there yet, and index it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="digits or emoji; both where none is named")
    parser.add_argument("--to", type=Path, default=Path("runs/images"), help="folder; runs/images by default")
    options = parser.parse_args()
    for name in options.names:
        if name not in ("digits", "emoji"):
            parser.error(f"there is no {name!r}. Write digits or emoji.")
    for name in options.names or ("digits", "emoji"):
        tar = options.to / name / "000000.tar"
        if not tar.exists():
            if name == "digits":
                count = write(digits(), tar)
            else:
                package, address = options.to / "emoji.tgz", f"{registry()}/{PACKAGE}"
                try:
                    download(address, SHA512, package)
                except OSError as error:
                    print(f"error: {address} cannot be read: {error}. Run the command again.", file=sys.stderr)
                    return 1
                count = write(emoji(package), tar)
                package.unlink()
            print(f"{name}: {count:,} images in {tar}", flush=True)
        subprocess.run([sys.executable, "-m", "pretrain_trainer.indexing", str(tar.parent)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
