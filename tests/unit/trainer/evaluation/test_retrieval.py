"""Recall counts how many other answers are as near as the right one."""

import numpy as np
import pytest

from pretrain_trainer.evaluation import retrieval


def unit(values: object) -> np.ndarray:
    found = np.asarray(values, dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_pairs_that_are_nearest_to_each_other_are_all_found() -> None:
    features = unit(np.eye(7))
    found = retrieval.recalls(features, features, [str(row) for row in range(7)])
    assert found == dict.fromkeys(
        ("imageToTextRecall1", "imageToTextRecall5", "textToImageRecall1", "textToImageRecall5"), 1.0
    )


def test_each_direction_is_counted_by_itself() -> None:
    images, captions = unit([[1, 0], [0, 1], [1, 1]]), unit([[1, 0], [0, 1], [1, 0.9]])
    captions[1] = captions[0]  # no image asks for it now, but it asks for the first
    found = retrieval.recalls(images, captions, ["a", "b", "c"])
    assert found["imageToTextRecall1"] == pytest.approx(1 / 3)  # ties are no hits
    assert found["textToImageRecall1"] == pytest.approx(2 / 3)


def test_features_that_are_all_the_same_find_nothing() -> None:
    same = unit(np.ones((20, 4)))
    found = retrieval.recalls(same, same, [str(row) for row in range(20)])
    assert set(found.values()) == {0.0}


def test_pairs_of_the_same_text_are_neither_right_nor_wrong_for_each_other() -> None:
    images, captions = unit([[1, 0], [1, 0], [0, 1]]), unit([[1, 0], [1, 0], [0, 1]])
    assert set(retrieval.recalls(images, captions, ["flag", "flag", "face"]).values()) == {1.0}


def test_many_questions_are_counted_like_few(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    images, captions = (unit(generator.normal(size=(50, 3))) for _ in range(2))
    texts = [str(row % 31) for row in range(50)]
    whole = retrieval.recalls(images, captions, texts)
    monkeypatch.setattr(retrieval, "_CHUNK", 7)
    assert retrieval.recalls(images, captions, texts) == whole


def test_chance_is_what_random_features_find() -> None:
    generator, texts = np.random.default_rng(6), [str(row % 35) for row in range(40)]
    found = [
        retrieval.recalls(*(unit(generator.normal(size=(40, 8))) for _ in range(2)), texts)["imageToTextRecall5"]
        for _ in range(200)
    ]
    assert retrieval.chances(texts)["imageToTextRecall5"] == pytest.approx(np.mean(found), abs=0.01)
