"""A folder that appears in a storage whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pretrain_api.storage import Storage

_REPLACED = ".replaced"
_UNFINISHED = ".unfinished"


def publish(storage: Storage, folder: Path, target: str, last: str) -> None:
    """Put the files of a local folder, which has no folders inside, in the place of `target` and what stood there.

    On local storage the last step is a rename; a folder of another file system, as a pod's own, is copied beside its
    place before. An object store has no such thing: there `last`, the file without which nobody can load the folder, is
    removed first and written last.
    """
    if storage.is_local:
        final = Path(storage.path(target))
        replaced, unfinished = (final.with_name(final.name + end) for end in (_REPLACED, _UNFINISHED))
        final.parent.mkdir(parents=True, exist_ok=True)
        for leftover in (replaced, unfinished):
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.move(folder, unfinished)
        if final.exists():
            os.rename(final, replaced)
        os.rename(unfinished, final)
        shutil.rmtree(replaced, ignore_errors=True)
        return
    storage.remove(f"{target}/{last}")
    names = sorted(file.name for file in folder.iterdir())
    for name in storage.names(target):
        if name not in names:
            storage.remove(f"{target}/{name}")
    for name in [name for name in names if name != last] + [last]:
        with (folder / name).open("rb") as source, storage.create(f"{target}/{name}") as out:
            shutil.copyfileobj(source, out, 16 << 20)
