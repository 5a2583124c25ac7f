"""Whether this machine can train: the trainer's libraries, accelerators, collectives between its ranks, shared memory."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from glob import glob

from pretrain_api.findings import Finding, Level
from pretrain_api.nouns import counted
from pretrain_trainer.cores import usable_cores
from pretrain_trainer.diagnosing import collectives
from pretrain_trainer.machine_memory import available_bytes

_SHARED_MEMORY = "/dev/shm"
_LEAST_SHARED_BYTES = 1 << 30
_LEAST_BYTES = 2 << 30
"""Torch alone takes half a gigabyte in each rank."""
_NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "pyarrow")


def findings() -> Iterator[Finding]:
    """Each check in its turn; without the libraries nothing further can be tried."""
    missing = [name for name in _NEEDED if not _is_there(name)]
    if missing:
        what = f"{', '.join(missing)} cannot be imported here."
        yield _finding("libraries", "failure", what, 'Install them: pip install "pretrain-operator[trainer]".')
        return
    import torch

    yield _finding("libraries", "ok", f"torch {torch.__version__}; {counted(usable_cores(), 'core')} to use.")
    yield from _memory()
    yield from _accelerators()
    yield from _collectives(torch.cuda.device_count() if torch.cuda.is_available() else 2)


def _is_there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _memory() -> Iterator[Finding]:
    left = available_bytes()
    is_little = left < _LEAST_BYTES
    advice = "End what else runs here, or raise the container's limit." if is_little else ""
    yield _finding("memory", "warning" if is_little else "ok", f"{left / 1e9:.1f} GB are free.", advice)
    if not os.path.isdir(_SHARED_MEMORY):
        return
    shared = shutil.disk_usage(_SHARED_MEMORY).free
    if shared >= _LEAST_SHARED_BYTES:
        yield _finding("shared-memory", "ok", f"{shared / 1e9:.1f} GB are free in {_SHARED_MEMORY}.")
        return
    what = f"only {shared / 1e6:.0f} MB are free in {_SHARED_MEMORY}, which ranks and NCCL share."
    instead = "Raise it: docker run --shm-size=8g; in a pod an emptyDir with medium: Memory at /dev/shm."
    yield _finding("shared-memory", "warning", what, instead)


def _accelerators() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(number)
            free, total = torch.cuda.mem_get_info(number)
            bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
            what = f"{device.name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free, {bf16}, CUDA {torch.version.cuda}."
            level: Level = "ok" if free > total / 2 else "warning"
            yield _finding(f"gpu-{number}", level, what, "" if level == "ok" else "Another program holds its memory.")
        return
    if nodes := glob("/dev/nvidia[0-9]*"):
        what = f"{counted(len(nodes), 'GPU')} there ({', '.join(nodes)}), but torch {torch.__version__} uses none."
        instead = "Install a torch that was built for the driver's CUDA, and compare with nvidia-smi."
        yield _finding("gpu", "failure", what, instead)
        return
    yield _finding("gpu", "warning", "none: training runs on the CPU.", "Fine for trying out; real sizes need GPUs.")


def _collectives(ranks: int) -> Iterator[Finding]:
    result = collectives.measured(ranks)
    if result.error:
        what = f"an all-reduce of {counted(ranks, 'rank')} failed: {result.error}"
        yield _finding(
            result.backend, "failure", what, "NCCL_DEBUG=INFO shows what it tried; `nvidia-smi topo -m` the links."
        )
        return
    what = f"all-reduce of {counted(ranks, 'rank')}, {collectives.BYTES >> 20} MiB: {result.bytes_per_second / 1e9:.1f} GB/s"
    yield _finding(result.backend, "ok", ", ".join(part for part in (what, result.version) if part) + ".")


def _finding(check: str, level: Level, message: str, advice: str = "") -> Finding:
    return Finding("Machine", check, level, message, advice)
