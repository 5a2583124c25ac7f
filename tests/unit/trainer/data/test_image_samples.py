"""Images and captions between the tar and the batch."""

import numpy as np
import pytest
import xxhash
from PIL import Image
from support.image_runs import digits

from pretrain_trainer.data.digests import sample_digests
from pretrain_trainer.data.image_samples import ImageSamples

BROKEN = b"\x89PNG\r\n\x1a\n and no more"


def some(*images: bytes, told: list[int] | None = None) -> ImageSamples:
    def broken(row: int, why: str) -> None:
        assert why
        if told is not None:
            told.append(row)

    stand_ins = np.array([not image for image in images])
    return ImageSamples(list(images), [f"caption {n}" for n in range(len(images))], stand_ins, broken)


def side(image: Image.Image, row: int) -> tuple[int, int]:
    return image.width, row


PNG = digits(1)[0]["png"]


class TestDecoded:
    def test_gives_what_is_made_of_each_image_in_order(self) -> None:
        assert some(PNG, PNG, PNG).decoded(side) == [(8, 0), (8, 1), (8, 2)]

    def test_a_broken_image_is_told_of_and_becomes_a_stand_in(self) -> None:
        told: list[int] = []
        samples = some(PNG, BROKEN, b"", PNG, told=told)
        assert samples.decoded(side) == [(8, 0), None, None, (8, 3)]
        assert (told, samples.stand_ins.tolist()) == ([1], [False, True, True, False])

    def test_it_is_told_of_once(self) -> None:
        told: list[int] = []
        samples = some(BROKEN, told=told)
        samples.decoded(side)
        samples.decoded(side)
        assert told == [0]

    def test_in_a_part_it_is_told_of_by_its_number_in_the_whole_which_learns_of_it(self) -> None:
        told: list[int] = []
        samples = some(PNG, PNG, BROKEN, PNG, told=told)
        part = samples.rows(slice(1, 4))
        assert part.rows(slice(1, 2)).decoded(side) == [None]
        assert (told, part.stand_ins.tolist()) == ([2], [False, True, False])
        assert samples.stand_ins.tolist() == [False, False, True, False]

    def test_what_is_raised_where_it_is_told_comes_out(self) -> None:
        def refused(row: int, why: str) -> None:
            raise ValueError(why)

        samples = ImageSamples([BROKEN], [""], np.array([False]), refused)
        with pytest.raises(ValueError, match=r"header is damaged|cannot be decoded"):
            samples.decoded(side)


class TestContent:
    def test_is_the_file_a_zero_byte_and_the_caption(self) -> None:
        samples = ImageSamples([PNG], ["Größe"], np.array([False]), lambda row, why: None)
        assert b"".join(samples.content(0)) == PNG + b"\0" + "Größe".encode()

    def test_has_a_digest_of_its_position_and_none_as_a_stand_in(self) -> None:
        samples = some(PNG, PNG, b"")
        first, second, third = sample_digests(samples, np.array([4, 5, 6])).tolist()
        assert first == xxhash.xxh3_64_intdigest(PNG + b"\0caption 0", 4)
        assert second == xxhash.xxh3_64_intdigest(PNG + b"\0caption 1", 5)
        assert third == 0
