"""Damaged records: replaced by stand-ins up to a bound, and written down where a person finds them."""

import json
import logging
import time

from pretrain_api import layout
from pretrain_api.nouns import counted
from pretrain_api.storage import Storage
from pretrain_trainer.data.blocks import Block, Damage, stand_in
from pretrain_trainer.data.indexes import CorruptShard, Place
from pretrain_trainer.data.source import Source

_LOGGER = logging.getLogger(__name__)


def note_path(fingerprint: str, source: str, split: str, record: int) -> str:
    """Where a stage of that fingerprint notes that it left out a record: `quarantine/<fingerprint>/<source>-<record>.json`,
    of the validation split with its name before the number."""
    part = "" if split == "train" else f"{split}-"
    return f"{layout.QUARANTINE}/{fingerprint}/{source}-{part}{record:08d}.json"


class Quarantine:
    """The damaged records of a run, one file for each: `note` is its path.

    `most` is how many records of the run may be replaced (spec.data.maxBadRecords). The list counts across restarts and
    ranks; a record that was repaired is read again, and its file stays as a note of what was.
    """

    def __init__(self, storage: Storage | None = None, fingerprint: str = "", most: int = 0) -> None:
        self._storage, self._fingerprint, self._most = storage, fingerprint, most

    def replaced(self, source: Source, record: int, place: Place, shard: str, damage: Damage) -> Block:
        """A stand-in for a record that stayed damaged when it was read again. Raises CorruptShard above the bound."""
        self.leave_out(source.name, source.split, record, shard, place.inside, place.samples, str(damage))
        return stand_in(place.samples, source.width, source.dtype)

    def leave_out(
        self, source: str, split: str, record: int, shard: str, inside: int, samples: int, fault: str
    ) -> None:
        """Write down a record that training goes on without: number `record` of the source's split, `inside` of its shard.

        Raises CorruptShard above the bound.
        """
        what = f"shard {shard}, record {inside} {fault}"
        if not self._most or self._storage is None:
            raise CorruptShard(
                f"{what}. Restore the shard; or set spec.data.maxBadRecords to the number of records that may be left "
                "out of the loss."
            )
        note = {
            "version": 1,
            "source": source,
            "split": split,
            "shard": shard,
            "record": inside,
            "recordInSplit": record,
            "samples": samples,
            "fault": fault,
            "time": time.time(),
        }
        path = note_path(self._fingerprint, source, split, record)
        folder = path.rpartition("/")[0]
        if self._storage.create_exclusive(path, (json.dumps(note, indent=1) + "\n").encode()):
            _LOGGER.warning("%s; %s in no loss", what, counted(samples, "sample counts", "samples count"))
        # Not what another thread or rank is about to write.
        notes = [name for name in self._storage.names(folder) if name.endswith(".json")]
        if (count := len(notes)) > self._most:
            raise CorruptShard(
                f"{what}. That makes {count} damaged records, more than spec.data.maxBadRecords ({self._most}); they are "
                f"listed in {self._storage.uri(folder)}. Restore the shards, or raise the bound."
            )


NOTHING_DAMAGED = Quarantine()
"""That of a reader for which the first damaged record is an error."""
