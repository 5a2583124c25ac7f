"""Findings as people read them."""

from pretrain_api.findings import Finding, dumped, loaded
from pretrain_cli.doctor.showing import lines, summed

FOUND = [
    Finding("Cluster", "crd", "failure", "none here.", "Install it."),
    Finding("Storage", "clock", "ok", "as the store's."),
    Finding("Storage", "bandwidth", "warning", "word " * 60, "Move it."),
    Finding("Storage", "reached", "skipped", "not known."),
]


def test_a_section_for_each_area_advice_below_and_the_sum_at_the_end() -> None:
    assert list(lines(FOUND[:2], colour=False)) == [
        "Cluster",
        "  failure  crd                 none here.",
        "                               Install it.",
        "",
        "Storage",
        "  ok       clock               as the store's.",
        "",
        "1 failure",
    ]


def test_long_messages_are_wrapped_behind_their_check() -> None:
    text = list(lines(FOUND[2:3], colour=False))
    assert max(map(len, text)) <= 116
    assert text[2].startswith(" " * 31 + "word")


def test_is_summed_up() -> None:
    assert summed(FOUND) == "1 failure, 1 warning, 1 could not be looked at"
    assert summed(FOUND[1:2]) == "all well"


def test_findings_survive_the_way_between_programs() -> None:
    assert loaded(dumped(FOUND)) == FOUND
