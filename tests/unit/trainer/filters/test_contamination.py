from pathlib import Path

import numpy as np

from pretrain_trainer.filters.contamination import Contamination, known_ngrams

QUESTION = "Which of these planets has the most moons that are known to astronomers today?"


def against(folder: Path, texts: list[str], n: int) -> Contamination:
    np.save(folder / "known.npy", known_ngrams(texts, n)[0])
    return Contamination(folder / "known.npy", n)


def test_one_shared_ngram_is_enough(tmp_path: Path) -> None:
    known = against(tmp_path, [QUESTION], 13)
    assert known.overlaps(f"Quiz! {QUESTION} Jupiter, or Saturn.")
    assert known.overlaps(QUESTION.upper().replace(" ", "\n"))
    assert not known.overlaps(QUESTION.replace("moons", "rings"))
    assert not known.overlaps("short")


def test_texts_shorter_than_an_ngram_are_counted_and_match_nothing(tmp_path: Path) -> None:
    hashes, short = known_ngrams(["two words", QUESTION], 13)
    assert (len(hashes), short) == (2, 1)
    assert not against(tmp_path, ["two words"], 13).overlaps("two words")
