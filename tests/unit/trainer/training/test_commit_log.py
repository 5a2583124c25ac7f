from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.commits import a_commit

from pretrain_api import layout
from pretrain_api.errors import PretrainError, UserError
from pretrain_api.storage import Storage
from pretrain_trainer.training.commit_log import append, fence, read_log
from pretrain_trainer.training.log_protocol import Overtaken


def test_of_64_writers_of_one_slot_one_wins(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))

    def commit(number: int) -> bool:
        try:
            append(storage, a_commit(nonce=str(number)))
        except Overtaken:
            return False
        return True

    with ThreadPoolExecutor(64) as pool:
        assert sum(pool.map(commit, range(64))) == 1
    assert len(read_log(storage)) == 1


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"sequence": 2}'])
def test_a_damaged_record_is_passed_over(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage(str(tmp_path))
    for sequence in (1, 2):
        append(storage, a_commit(sequence, nonce=str(sequence)))
    storage.write_bytes(layout.commit(2), damage)
    assert [commit.sequence for commit in read_log(storage)] == [1]
    assert "000000000002.json is damaged" in caplog.text
    assert fence(storage, "f", "next start").next_sequence == 4


class TestFence:
    def test_nothing_of_an_earlier_start_comes_behind_it(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        first = fence(storage, "f", "a")
        append(storage, a_commit(first.next_sequence, generation=first.generation))
        second = fence(storage, "f", "b")
        with pytest.raises(Overtaken, match="slot 3 of the commit log holds a record of start 2; this is start 1"):
            append(storage, a_commit(3, generation=first.generation, nonce="late"))
        assert (first.generation, second.generation, second.next_sequence) == (1, 2, 4)
        assert [record.kind for record in second.records] == ["fence", "commit", "fence"]

    def test_64_starts_at_once_get_generations_of_their_own(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        with ThreadPoolExecutor(64) as pool:
            fences = list(pool.map(lambda n: fence(storage, "f", f"n{n}"), range(64)))
        assert sorted(f.generation for f in fences) == list(range(1, 65))
        assert sorted(f.next_sequence for f in fences) == list(range(2, 66))

    def test_a_store_that_ignores_conditions_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def create(self: Storage, relative: str, content: bytes) -> bool:
            self.write_bytes(relative, content)
            return True

        monkeypatch.setattr(Storage, "create_exclusive", create)
        with pytest.raises(UserError, match="lets two writers create one object") as error:
            fence(Storage(str(tmp_path)), "f", "a")
        assert error.value.code == "no-conditional-writes"
        assert fence(Storage(str(tmp_path / "other")), "f", "a", external_lock=True).generation == 1


class TestAppend:
    def test_repeating_a_commit_whose_answer_was_lost_changes_nothing(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        first = append(storage, a_commit())
        assert append(storage, a_commit()) == first
        assert len(read_log(storage)) == 1

    @pytest.mark.parametrize("did_land", [True, False])
    def test_a_fault_that_passes_is_no_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, did_land: bool
    ) -> None:
        create, faults = Storage.create_exclusive, [TimeoutError("no answer"), ConnectionError("cut")]

        def failing(self: Storage, relative: str, content: bytes) -> bool:
            if not faults:
                return create(self, relative, content)
            if did_land:
                create(self, relative, content)
            raise faults.pop()

        monkeypatch.setattr(Storage, "create_exclusive", failing)
        storage = Storage(str(tmp_path))
        assert append(storage, a_commit()).sequence == 1
        assert len(read_log(storage)) == 1

    def test_a_fault_that_does_not_pass_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def failing(self: Storage, relative: str, content: bytes) -> bool:
            raise PermissionError("no")

        monkeypatch.setattr(Storage, "create_exclusive", failing)
        with pytest.raises(PermissionError):
            append(Storage(str(tmp_path)), a_commit())


def test_a_record_of_a_later_version_is_not_passed_over(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write_json(layout.commit(1), {**a_commit().model_dump(mode="json"), "version": 2})
    with pytest.raises(PretrainError, match="has format version 2; this program reads 1"):
        fence(storage, "f", "a")


@pytest.mark.parametrize("change", [{"data": ""}, {"data": "../outside"}, {"data": "checkpoints/data/../x"}, {"history": "/etc/passwd"},
                                    {"sequence": 7}])  # fmt: skip
def test_a_record_that_leads_elsewhere_is_damaged(tmp_path: Path, change: dict[str, object]) -> None:
    storage = Storage(str(tmp_path))
    storage.write_json(layout.commit(1), {**a_commit().model_dump(mode="json"), **change})
    assert read_log(storage) == []
