"""Numbers as people read them."""

import pytest

from pretrain_trainer.reporting import words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (1_234_567, "1.23 MB"),
        (5e12, "5 TB"),
        (999_999, "1 MB"),
        (1_000_000, "1 MB"),
    ],
)
def test_sizes_are_decimal_with_three_digits(value: float, expected: str) -> None:
    assert words.size(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3600, "1 h 00 min"),
        (7380, "2 h 03 min"),
    ],
)
def test_seconds_become_the_units_that_fit(value: float, expected: str) -> None:
    assert words.seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, ("0", "")), (999_999, ("999,999", "")), (1_234_567, ("1.23", "million")), (7e12, ("7", "trillion"))],
)
def test_large_counts_get_a_word(value: float, expected: tuple[str, str]) -> None:
    assert words.short(value) == expected
