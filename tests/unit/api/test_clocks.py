"""Differences between two clocks."""

from datetime import UTC, datetime, timedelta

import pytest

from pretrain_api.clocks import finding

HERE = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "level", "said"),
    [
        (0, "ok", "as the store's"),
        (-4, "ok", "as the store's"),
        (60, "warning", "60 s behind the store"),
        (-60, "warning", "60 s ahead of the store"),
        (901, "failure", "901 s behind the store"),
    ],
)
def test_is_judged_by_its_size(seconds: int, level: str, said: str) -> None:
    found = finding("Storage", "the store", HERE + timedelta(seconds=seconds), HERE)
    assert (found.level, said in found.message) == (level, True)
