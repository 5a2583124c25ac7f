"""Command line of the development cluster; the Makefile's cluster targets call it."""

import argparse
import os
import sys
import time
from pathlib import Path

from support.cluster import cluster, places, programs, steps, teardown
from support.cluster.missing import MissingPart
from support.cluster.provide import provide


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m support.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("programs", help="get the programs that this machine lacks").set_defaults(run=get_programs)
    start = commands.add_parser("up", help="start the cluster; the one that runs stays as it is")
    start.add_argument("--nodes", type=int, default=2, help="how many nodes (default: %(default)s)")
    start.add_argument("--bare", action="store_true", help="without the operator and its images")
    start.set_defaults(run=up)
    commands.add_parser("down", help="remove the cluster and whatever tests left").set_defaults(run=down)
    commands.add_parser("env", help="print the lines that point a shell at the cluster").set_defaults(run=env)
    options = parser.parse_args()
    try:
        options.run(options)
    except MissingPart as missing:
        sys.exit(f"error: {missing}")


def get_programs(_: argparse.Namespace) -> None:
    provide()


def up(options: argparse.Namespace) -> None:
    provide()
    start = time.monotonic()
    running = cluster.bring_up(options.nodes)
    print(f"Nodes are Ready: {len(running.nodes)} ({time.monotonic() - start:.0f} s).")
    for step in () if options.bare else steps.AFTER_START:
        step.act(running)
        print(f"{step.done} ({time.monotonic() - start:.0f} s).")
    print(f"S3: {running.s3.url}, access key {running.s3.access_key}, secret key {running.s3.secret_key}")
    print('Next: eval "$(make -s cluster-env)", then kubectl. `make cluster-down` removes it all.')


def down(_: argparse.Namespace) -> None:
    for running in cluster.kept():
        teardown.tear_down(running.network)
    teardown.clean_up()


def env(_: argparse.Namespace) -> None:
    running = cluster.kept()
    if not running:
        sys.exit("error: no cluster runs; `make cluster-up` starts one")
    tools = running[0].folder / "bin"
    tools.mkdir(exist_ok=True)
    for name in ("kubectl", "helm"):
        if not (tools / name).exists():
            (tools / name).symlink_to(programs.find(name))
    print(f"export KUBECONFIG={running[0].kubeconfig}")
    for name, value in running[0].s3.environment.items():
        print(f"export {name}={value}")
    print(f"export PATH={tools}:{places.REPOSITORY / '.venv' / 'bin'}:{_path_without(tools.parent.parent)}")


def _path_without(state: Path) -> str:
    """PATH as it is, less what an earlier call has put into it."""
    return ":".join(part for part in os.environ["PATH"].split(":") if not part.startswith(str(state)))


if __name__ == "__main__":
    main()
