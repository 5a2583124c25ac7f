import fsspec
import pytest

from pretrain_trainer.documents import python_fs


@pytest.fixture(autouse=True)
def registered() -> None:
    python_fs.register()


def test_every_module_of_the_library_is_utf8_and_none_is_a_test() -> None:
    fs, path = fsspec.core.url_to_fs("python://lib/**/*.py")
    names = fs.glob(path)
    assert {"lib/json/__init__.py", "lib/argparse.py"} <= set(names)
    assert not [name for name in names if {"site-packages", "test", "tests", "__pycache__"} & set(name.split("/"))]
    for name in names:
        fs.cat_file(name).decode("utf-8")


def test_a_topic_of_the_manual_and_its_size() -> None:
    with fsspec.open("python://pydoc/lambda.txt", "rb") as file:
        content = file.read()
    fs, _ = fsspec.core.url_to_fs("python://pydoc")
    assert content.startswith(b"Lambdas\n*******")
    assert fs.info("pydoc/lambda.txt")["size"] == len(content)
    assert [entry["type"] for entry in fs.ls("")] == ["directory", "directory"]


def test_it_is_read_only_and_says_what_is_missing() -> None:
    with pytest.raises(OSError, match="read-only"), fsspec.open("python://lib/new.py", "wb"):
        pass
    with pytest.raises(FileNotFoundError), fsspec.open("python://lib/nonsense.py", "rb"):
        pass
