from hypothesis import given
from hypothesis import strategies as st

from pretrain_api.types.data import Source
from pretrain_trainer.documents import units
from pretrain_trainer.documents.locations import Location

SOURCE = Source(name="web", documents="/a")


@given(st.lists(st.integers(-1, 3 * units.UNIT_BYTES), max_size=20))
def test_units_hold_every_file_once_in_order(sizes: list[int]) -> None:
    files = [Location(str(n), size, "") for n, size in enumerate(sizes)]
    planned = list(units.plan(SOURCE, "spec.x", files))
    assert [file for unit in planned for file in unit.files] == files
    assert [unit.number for unit in planned] == list(range(len(planned)))
    assert [unit.first_file for unit in planned] == [int(unit.files[0].url) for unit in planned]
    for unit in planned[:-1]:
        counted = [size if size >= 0 else units.UNKNOWN_SIZE_BYTES for size in (file.size for file in unit.files)]
        assert sum(counted) >= units.UNIT_BYTES > sum(counted[:-1])


def test_counts_of_units_add_up() -> None:
    total = units.Counts()
    for _ in range(4):
        one = units.Counts(3, 30, 1, 10, 1, 1, [["code", "place", "what"]] * 2)
        one.refused["MIT"] += 1
        total.add(one)
    assert (total.documents_in, total.bytes, total.bad, total.refused["MIT"]) == (12, 40, 4, 4)
    assert len(total.bad_examples) == units.EXAMPLES
