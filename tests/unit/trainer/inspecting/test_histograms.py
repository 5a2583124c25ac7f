from pretrain_trainer.inspecting.histograms import bar, bars, by_power


def test_values_are_counted_by_powers_of_two() -> None:
    assert by_power([0, 1, 2, 3, 4, 7, 8, 1000]) == {0: 1, 1: 1, 2: 2, 4: 2, 8: 1, 512: 1}


def test_ranges_without_values_are_drawn_too() -> None:
    lines = list(bars({1: 4, 8: 2}))
    assert [line.split()[0] for line in lines] == ["1", "2-3", "4-7", "8-15"]
    assert [line.split()[-1] for line in lines] == ["4", "0", "0", "2"]


def test_a_bar_is_as_long_as_its_share_and_never_nothing_for_something() -> None:
    assert (len(bar(1)), len(bar(0.5)), bar(0), bar(0.0001)) == (40, 20, "", "▏")
