"""Builds the images and prints their names: `make images`."""

import sys

from support.cluster.missing import MissingPart
from support.images.build import TARGETS, build


def main() -> None:
    try:
        for target in TARGETS:
            image = build(target)
            print(f"{image.name}  {image.size_bytes / 1e6:,.0f} MB", flush=True)
    except MissingPart as missing:
        sys.exit(f"error: {missing}")


if __name__ == "__main__":
    main()
