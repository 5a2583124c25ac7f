"""Files that appear whole or not at all, so that whoever reads beside the writer needs no lock."""

import contextlib
import uuid
from pathlib import Path

from pretrain_trainer.data.blocks import Bytes


def write(path: Path, content: Bytes) -> None:
    """Write a file and the folders above it. Where that fails, OSError, and nothing is left of it.

    A writer that is killed leaves a hidden file beside the place.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content.tofile(temporary)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
