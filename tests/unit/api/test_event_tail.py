"""The progress lines of a program, as others read them."""

from pathlib import Path

from pretrain_api.event_tail import EventTail


def test_are_read_as_they_grow_and_only_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = EventTail(path)
    assert tail.read() == []
    path.write_text('{"time": 1, "stage": "Train", "figures": {"step": 1}}\n{"time": 2, "sta')
    assert [event.time for event in tail.read()] == [1]
    with path.open("a") as file:
        file.write('ge": "Train", "message": "saved"}\nnot an event\n')
    assert [event.message for event in tail.read()] == ["saved"]
    assert tail.newest_step is not None
    assert tail.newest_step.figures == {"step": 1}
