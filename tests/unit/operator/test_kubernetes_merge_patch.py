"""A merge patch leads from one object to the other, and says no more than what changed."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pretrain_operator.bodies.kubernetes.merge_patch import between

values = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text("abc", min_size=1, max_size=2), values, max_size=4)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, as an API server does it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(objects, objects)
def test_leads_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert merged(before, between(before, after)) == after


@given(objects)
def test_of_the_same_is_empty(same: dict[str, Any]) -> None:
    assert between(same, same) == {}


def test_removes_what_is_gone() -> None:
    assert between({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1}}) == {"a": {"c": None}, "d": None}
