import random

import numpy as np

from pretrain_api.types.data import MinHashDeduplication
from pretrain_trainer.filters.duplicates import MinHash, exact_key
from pretrain_trainer.filters.words import Words


def pair(similarity: float, rng: random.Random, size: int = 400) -> tuple[str, str]:
    """Texts whose word sets have this Jaccard similarity; shingles are single words here."""
    shared = round(2 * size * similarity / (1 + similarity))
    words = [f"w{rng.getrandbits(60):x}x" for _ in range(2 * size - shared)]
    return " ".join(words[:size]), " ".join(words[size - shared :])


def found(similarity: float, pairs: int = 100) -> float:
    """Share of pairs that the bands of FineWeb's setting find."""
    rng = random.Random(7)
    minhash = MinHash(MinHashDeduplication(ngram=1))
    hits = 0
    for _ in range(pairs):
        one, other = (minhash.keys(Words(text)) for text in pair(similarity, rng, 200))
        assert one is not None
        assert other is not None
        hits += bool((one == other).any())
    return hits / pairs


def test_white_space_does_not_matter_for_exact_keys() -> None:
    assert exact_key("a  b\n\tc ") == exact_key("a b c")
    assert exact_key("a b c") != exact_key("a bc")
    assert all(0 <= half < 1 << 64 for half in exact_key("text"))


def test_signatures_estimate_the_jaccard_similarity() -> None:
    rng = random.Random(3)
    minhash = MinHash(MinHashDeduplication(bands=64, rows=16, ngram=1))
    for similarity in (0.2, 0.5, 0.8):
        one, other = (minhash.signature(Words(text)) for text in pair(similarity, rng, 800))
        assert one is not None
        assert other is not None
        assert abs(float(np.mean(one == other)) - similarity) < 0.06  # 1,024 hashes: 4 standard deviations


def test_bands_find_similar_pairs_as_often_as_the_formula_says() -> None:
    """1 - (1 - s^8)^14 with s = 0.9, 0.8, 0.7 and 0.5."""
    for similarity, expected in ((0.9, 0.9996), (0.8, 0.924), (0.7, 0.565), (0.5, 0.053)):
        assert abs(found(similarity) - expected) < 0.13


def test_a_text_shorter_than_a_shingle_matches_itself_alone() -> None:
    minhash = MinHash(MinHashDeduplication())
    one, same, other = (minhash.keys(Words(text)) for text in ("two words", "Two, words!", "other words"))
    assert one is not None
    assert same is not None
    assert other is not None
    assert (one == same).all()
    assert not (one == other).any()


def test_a_text_without_words_has_no_keys() -> None:
    assert MinHash(MinHashDeduplication()).keys(Words("... !")) is None


def test_keys_never_change_between_versions() -> None:
    """They lie in storage while a run is interrupted; another key would need a new version of the stage."""
    keys = MinHash(MinHashDeduplication(bands=2, rows=2)).keys(Words("the quick brown fox jumps over the lazy dog"))
    assert keys is not None
    assert keys.tolist() == PINNED_BANDS
    assert exact_key("the quick brown fox") == PINNED_EXACT


def test_a_long_text_is_hashed_in_slices_with_the_same_result() -> None:
    words = [f"word{n}x" for n in range(1500)]
    minhash = MinHash(MinHashDeduplication(ngram=1))
    whole = minhash.signature(Words(" ".join(words)))
    halves = [minhash.signature(Words(" ".join(half))) for half in (words[:700], words[700:])]
    assert whole is not None
    assert halves[0] is not None
    assert halves[1] is not None
    assert (whole == np.minimum(halves[0], halves[1])).all()


PINNED_BANDS = [5361541116315275910, 3008414217910980173]
PINNED_EXACT = (2896071597710184441, 12335012824874845650)
