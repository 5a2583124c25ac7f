"""Training a tokenizer with Hugging Face `tokenizers`, and checking one on real text. No files, no sampling."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from pretrain_api.errors import UserError
from pretrain_api.objectives import MASK, SENTINELS
from pretrain_api.types.model import TrainTokenizer
from pretrain_trainer.tokenizer import END_OF_TEXT, PADDING, LoadedTokenizer

UNKNOWN = "<|unknown|>"
"""What WordPiece writes for a word with a character that was not in the sample."""


SMALLEST_VOCABULARY = 300
"""What the API takes for vocabSize."""


def special_tokens(spec: TrainTokenizer, further: Sequence[str] = ()) -> list[str]:
    """The special tokens in the order of their ids, each once; `further`: those of the objective."""
    own = [END_OF_TEXT, PADDING] + ([UNKNOWN] if spec.algorithm == "wordpiece" else [])
    return list(dict.fromkeys([*own, *further, *spec.special_tokens]))


def train(spec: TrainTokenizer, texts: Callable[[], Iterator[str]], further: Sequence[str] = ()) -> Tokenizer:
    """A tokenizer with exactly spec.vocab_size entries; the same bytes for the same texts.

    `texts` gives the sample from its start at each call. Raises UserError `vocabulary-too-large` or
    `vocabulary-too-small` when the sample does not yield that many entries.
    """
    special = special_tokens(spec, further)
    tokenizer = {"bpe": _byte_level_bpe, "wordpiece": _wordpiece, "unigram": _byte_level_unigram}[spec.algorithm](
        spec.vocab_size, special, texts
    )
    size = tokenizer.get_vocab_size()
    if size < spec.vocab_size:
        raise UserError(
            "vocabulary-too-large",
            "spec.tokenizer.train.vocabSize",
            f"{spec.vocab_size} entries were asked for, but {spec.algorithm} makes only {size} of this text.",
            (f"Write vocabSize: {size}, add" if size >= SMALLEST_VOCABULARY else "Add")
            + " documents, or raise sampleBytes.",
        )
    if size > spec.vocab_size:
        raise UserError(
            "vocabulary-too-small",
            "spec.tokenizer.train.vocabSize",
            f"{spec.vocab_size} entries were asked for, but the characters and special tokens alone are {size}.",
            f"Write vocabSize: {size} or more, or algorithm: bpe, which needs no more than the 256 bytes.",
        )
    return _beside_spaces(tokenizer, further) if further else tokenizer


def lower_case(tokenizer: Tokenizer) -> Tokenizer:
    """The same, where upper case is written as lower case first: as in CLIP (arXiv:2103.00020, section 2.4), since captions and
    labels write the same word in both."""
    own = [tokenizer.normalizer] if tokenizer.normalizer else []
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return tokenizer


def _beside_spaces(tokenizer: Tokenizer, tokens: Sequence[str]) -> Tokenizer:
    """The same, with tokens that take the white space before them: in training they stand for whole tokens, and in most
    vocabularies a word begins with its space. Whoever writes a space before a mask would else ask for what was never seen.
    """
    description = json.loads(tokenizer.to_str())
    added = [token | {"lstrip": token["content"] in tokens} for token in description["added_tokens"]]
    return Tokenizer.from_str(json.dumps(description | {"added_tokens": added}))


def _byte_level_bpe(vocab_size: int, special: list[str], texts: Callable[[], Iterator[str]]) -> Tokenizer:
    """GPT-2's byte-level BPE (Radford et al. 2019): all 256 bytes are in the vocabulary, so every text has a code."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def _wordpiece(vocab_size: int, special: list[str], texts: Callable[[], Iterator[str]]) -> Tokenizer:
    """BERT's WordPiece, cased (Devlin et al. 2019, arXiv:1810.04805): words and punctuation; white space is not kept.

    The library numbers the continuations ("##a") in the random order of its hash map and breaks ties by these numbers.
    Given as special tokens they have their numbers beforehand; that they are none is put right afterwards.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    continued = set[str]()
    for text in texts():
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text)):
            continued.update(word[1:])
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=special + [f"##{character}" for character in sorted(continued)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = [token for token in description["added_tokens"] if token["content"] in special]
    return Tokenizer.from_str(json.dumps(description))


def _byte_level_unigram(vocab_size: int, special: list[str], texts: Callable[[], Iterator[str]]) -> Tokenizer:
    """The unigram language model (Kudo 2018, arXiv:1804.10959) over bytes, as above, so that nothing is unknown.

    The library adds up in the random order of its hash map, so the last digits of the scores vary; without these, and
    with ties in the order of the pieces, the result is the same each time.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    description = json.loads(tokenizer.to_str())
    scores = {piece: round(score, 6) for piece, score in description["model"]["vocab"] if piece not in special}
    # Bytes that the text lacks get the lowest scores, one after the other in the random order again.
    lowest = min((score for piece, score in scores.items() if len(piece) > 1), default=0.0)
    rare = sorted(piece for piece, score in scores.items() if len(piece) == 1 and score <= lowest)
    scores.update(zip(rare, sorted((scores[piece] for piece in rare), reverse=True), strict=True))
    description["model"]["vocab"] = [
        *((token, 0.0) for token in special),
        *sorted(scores.items(), key=lambda entry: (-entry[1], entry[0])),
    ]
    return Tokenizer.from_str(json.dumps(description))


def configuration(spec: TrainTokenizer, further: Sequence[str] = ()) -> dict[str, Any]:
    """The content of tokenizer_config.json for transformers' AutoTokenizer; `further`: the objective's special tokens."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": PADDING,
        "clean_up_tokenization_spaces": False,
    }
    if spec.algorithm == "wordpiece":
        config["unk_token"] = UNKNOWN
    if MASK in further:
        config["mask_token"] = MASK
    if sentinels := [token for token in further if token in SENTINELS]:
        config["extra_special_tokens"] = sentinels
    return config


@dataclass
class Check:
    """What a tokenizer does to a sample of text."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0
    characters: int = 0
    characters_lost: int = 0
    """Characters that do not come back when the tokens are decoded."""
    documents_changed: int = 0
    """Documents that do not come back as they were."""
    token_lengths: Counter[int] = field(default_factory=Counter)
    """Tokens of the sample by the characters of text they stand for, 16 and more counted together."""


def check(loaded: LoadedTokenizer, texts: Iterable[str]) -> Check:
    """Encode and decode texts and count what is lost."""
    result = Check()
    for text in texts:
        encoding = loaded.tokenizer.encode(text, add_special_tokens=False)
        decoded = loaded.tokenizer.decode(encoding.ids, skip_special_tokens=False)
        result.documents += 1
        result.bytes += len(text.encode())
        result.tokens += len(encoding.ids)
        result.characters += len(text)
        if decoded != text:
            result.documents_changed += 1
            result.characters_lost += (Counter(text) - Counter(decoded)).total()
        result.token_lengths.update(min(end - begin, 16) for begin, end in encoding.offsets)
    return result
