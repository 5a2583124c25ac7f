"""Runs inside an image's build (Dockerfile): lays rooms of this repository out as an importable folder.

The same input gives the same bytes: modes are set, bytecode is bound to no time stamp, the order is fixed.
"""

import argparse
import compileall
import py_compile
import shutil
import sys
import tomllib
from pathlib import Path

SOURCE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("rooms", nargs="+")
    options = parser.parse_args()
    for room in options.rooms:
        package = f"pretrain_{room}"
        shutil.copytree(SOURCE / room / package, options.target / package, ignore=shutil.ignore_patterns("__pycache__"))
    write_metadata(options.target)
    # Not bound to time stamps: those are set to one date in the layer, and stale bytecode would be compiled again at
    # every start, as the root file system is read-only.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(
        options.target, quiet=1, stripdir=options.target, prependdir="/opt/pretrain/code", invalidation_mode=mode
    ):
        sys.exit("error: not all modules compile")
    for path in [options.target, *options.target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def write_metadata(target: Path) -> None:
    """What importlib.metadata needs to name the version."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    folder = target / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n")
    shutil.copy(SOURCE / "LICENSE", folder / "LICENSE")


if __name__ == "__main__":
    main()
