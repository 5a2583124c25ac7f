"""The roster as workers read it."""

import pytest
from pydantic import ValidationError

from pretrain_api.world import Member, World


def a_world(*uids: str) -> World:
    roster = tuple(Member(worker=n, pod=f"gpt-w{n}-1", uid=uid, address=f"10.0.0.{n}") for n, uid in enumerate(uids))
    return World(generation=1, attempt=1, roster=roster, leader="10.0.0.0")


def test_a_pod_finds_its_node_rank_by_its_uid() -> None:
    assert a_world("a", "b").rank_of("b") == 1


def test_a_pod_of_the_same_name_that_was_replaced_has_no_rank() -> None:
    assert a_world("a", "b").rank_of("c") is None


def test_a_world_of_4096_workers_fits_into_a_config_map() -> None:
    uid, address = "0" * 36, "255.255.255.255"
    roster = tuple(Member(worker=n, pod=f"{'j' * 50}-w{n}-100", uid=uid, address=address) for n in range(4096))
    assert len(World(generation=1, attempt=1, roster=roster, leader=address).model_dump_json()) < 1_000_000


def test_an_unknown_version_is_refused() -> None:
    text = a_world("a").model_dump_json().replace('"version":1', '"version":2')
    with pytest.raises(ValidationError):
        World.model_validate_json(text)


@pytest.mark.parametrize("number", [-1, 1 << 31, 10**40])
def test_a_number_that_no_status_holds_is_no_roster(number: int) -> None:
    text = a_world("a").model_dump_json()
    assert '"generation":1,' in text
    with pytest.raises(ValidationError):
        World.model_validate_json(text.replace('"generation":1,', f'"generation":{number},'))
