"""Gets what a cluster needs and this machine lacks. Minutes on a new machine, nothing on one that has it all."""

import shutil
import time

from support.cluster import debian, programs
from support.cluster.build import OBJECTS, build
from support.cluster.download import download
from support.cluster.places import CACHE, Lock
from support.cluster.versions import modules


def provide() -> None:
    """All programs: given, cached, downloaded or built, in this order. Safe to interrupt and to repeat."""
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = Lock(CACHE / "programs.lock", wait=True)
    try:
        for name in debian.PACKAGES:
            if programs.look_for(name) is None:
                print(f"Fetching {name} from Debian", flush=True)
                debian.fetch(name)
        for module in modules():
            missing = [name for name in module.programs if programs.look_for(name) is None]
            if not missing:
                continue
            start = time.monotonic()
            print(f"Getting {module.name} {module.version}: {', '.join(missing)}", flush=True)
            if not download(module):
                build(module)
            print(f"Got it in {time.monotonic() - start:.0f} s", flush=True)
        shutil.rmtree(OBJECTS, ignore_errors=True)
    finally:
        lock.release()
