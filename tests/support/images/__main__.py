"""Builds the images and prints their names: `make images`. `make test` calls it before tests, whose time is limited."""

import argparse
import sys

from support.cluster.missing import MissingPart
from support.images.build import TARGETS, build


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m support.images", description=__doc__)
    parser.add_argument("--if-possible", action="store_true", help="say what is missing, and leave it at that")
    options = parser.parse_args()
    try:
        for target in TARGETS:
            image = build(target)
            print(f"{image.name}  {image.size_bytes / 1e6:,.0f} MB", flush=True)
    except MissingPart as missing:
        if not options.if_possible:
            sys.exit(f"error: {missing}")
        print(f"Images are not built: {missing}", flush=True)


if __name__ == "__main__":
    main()
