"""What is no name of an object never becomes part of an address."""

import pytest

from pretrain_api.errors import UserError
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import checked_name


@pytest.mark.parametrize(
    "name", ["", ".", "../x", "a/b", "a?b=c", "a#b", "A", "a b", "ä", "-a", "a-", "a" * 254, "a%2fb"]
)
def test_is_refused(name: str) -> None:
    with pytest.raises(UserError) as refused:
        jobs.path_of("default", name)
    assert (refused.value.code, refused.value.where) == ("bad-name", "NAME")
    assert repr(name) in str(refused.value)
    with pytest.raises(UserError):
        checked_name(name, "--namespace")


@pytest.mark.parametrize("name", ["a", "gpt-7b", "0.x", "a" * 253])
def test_names_lead_to_one_object(name: str) -> None:
    assert jobs.path_of("default", name) == f"{jobs.path('default')}/{name}"
