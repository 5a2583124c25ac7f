"""Replicas that should be the same: every flipped bit is seen, and whose it is where more than two are there."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.training.replicas import Held, digest, odd_ones


def flipped(tensor: torch.Tensor, element: int, bit: int) -> torch.Tensor:
    """The tensor with one other bit."""
    found = tensor.clone()
    raw = found.view(torch.uint8).reshape(-1)
    raw[element * found.element_size() + bit // 8] ^= 1 << (bit % 8)
    return found


@given(
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.uint8]),
    st.integers(1, 40),
    st.data(),
)
def test_any_flipped_bit_is_another_digest(dtype: torch.dtype, size: int, data: st.DataObject) -> None:
    tensors = [(torch.arange(size) % 7).to(dtype), torch.ones(3)]
    element, bit = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, tensors[0].element_size() * 8 - 1))
    assert digest([flipped(tensors[0], element, bit), tensors[1]]) != digest(tensors)


def test_a_digest_is_of_the_values_whatever_their_layout() -> None:
    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    assert digest([tensor.t().contiguous().t()]) == digest([tensor])
    assert digest([torch.tensor(float("nan"))]) == digest([torch.tensor(float("nan"))])
    assert digest([torch.zeros(2), torch.ones(2)]) != digest([torch.ones(2), torch.zeros(2)])
    assert digest([torch.empty(0)]) == 0


def held(*digests: tuple[int, int]) -> list[Held]:
    return [Held(part, number, f"host-{rank}") for rank, (part, number) in enumerate(digests)]


def test_the_odd_one_of_three_is_named() -> None:
    assert odd_ones(held((0, 7), (0, 7), (0, 8))) == [2]
    assert odd_ones(held((0, 7), (0, 7), (0, 7))) == []


def test_of_two_both_are() -> None:
    assert odd_ones(held((0, 7), (0, 8))) == [0, 1]
    assert odd_ones(held((0, 7), (0, 7), (0, 8), (0, 8))) == [0, 1, 2, 3]


def test_parts_are_compared_with_their_own_replicas() -> None:
    assert odd_ones(held((0, 7), (1, 8), (0, 7), (1, 8))) == []
    assert odd_ones(held((0, 7), (1, 8), (0, 7), (1, 9))) == [1, 3]
