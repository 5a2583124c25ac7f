"""Samples of a split, by number, and the records that they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_api.image_shards import ImageManifest, ImageSplit
from pretrain_trainer.data.image_source import ImageSource, Split


@dataclass(frozen=True)
class Records:
    """What becomes of each record of a source: 0 trained on, 1 held out, 2 neither."""

    fates: tuple[int, ...]

    def split(self, split: Split) -> ImageSource:
        fates = np.array(self.fates, dtype=np.int64)
        train, held_out, left_out = (np.flatnonzero(fates == fate) for fate in range(3))
        manifest = ImageManifest(
            fingerprint="f", source="some", uri="", sha256="", images=("png",), caption="",
            left_out={"without an image": len(left_out)} if len(left_out) else {},
            train=ImageSplit(samples=len(train)), validation=ImageSplit(samples=len(held_out)),
        )  # fmt: skip
        shards: Any = None
        return ImageSource(manifest, shards, held_out, np.union1d(held_out, left_out), split)


FATES = st.lists(st.sampled_from((0, 0, 0, 1, 2)), min_size=1, max_size=200).map(lambda fates: Records(tuple(fates)))


class TestRecords:
    @given(FATES)
    def test_of_the_splits_are_those_of_each_fate_in_order(self, records: Records) -> None:
        for fate, split in ((0, "train"), (1, "validation")):
            source = records.split(split)  # type: ignore[arg-type]
            found = source.records(np.arange(source.samples))
            assert found.tolist() == [n for n, each in enumerate(records.fates) if each == fate]

    @given(FATES, st.data())
    def test_do_not_depend_on_what_else_is_asked_for(self, records: Records, data: st.DataObject) -> None:
        source = records.split("train")
        if not source.samples:
            return
        index = np.array(data.draw(st.lists(st.integers(0, source.samples - 1), min_size=1)))
        every = source.records(np.arange(source.samples))
        assert source.records(index).tolist() == every[index].tolist()

    @pytest.mark.parametrize("index", [-1, 2])
    def test_of_samples_that_are_not_there_are_an_error(self, index: int) -> None:
        with pytest.raises(IndexError, match=r"source some has samples 0 to 1 in split train"):
            Records((0, 1, 0)).split("train").records(np.array([index]))

    def test_of_nothing_are_nothing(self) -> None:
        assert Records((0, 1)).split("train").records(np.array([], dtype=np.int64)).tolist() == []
