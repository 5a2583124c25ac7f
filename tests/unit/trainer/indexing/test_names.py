import pytest
from webdataset.tariterators import base_plus_ext

from pretrain_trainer.indexing.names import split_name

NAMES = [
    "0001.jpg", "a/b/0001.seg.png", "a.b/0001.jpg", "./0001.JPG", "v1.0/a.tar.gz", "README", ".hidden", "a/.hidden",
    "x.", "__meta__.json", "__meta__", "__a__/0001.jpg", "dir/__a__.txt",
    "dir/__meta__", "dir/__a__/0001.jpg",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_are_divided_as_webdataset_divides_them(name: str) -> None:
    key, member = base_plus_ext(name)
    passed_over = name in ("__meta__", "__a__/0001.jpg")
    assert split_name(name) == (None if key is None or passed_over else (key, member.lower()))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b/0001.seg.png", ("a/b/0001", "seg.png")),
        ("v1.0/0001.JPG", ("v1.0/0001", "jpg")),
        ("README", None),
        ("__meta__", None),
    ],
)
def test_key_and_member(name: str, parts: tuple[str, str] | None) -> None:
    assert split_name(name) == parts
