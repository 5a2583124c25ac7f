"""Training a tokenizer with Hugging Face `tokenizers`, and checking one on real text. No files, no sampling."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from pretrain_api.errors import UserError
from pretrain_api.types.model import TrainTokenizer
from pretrain_trainer.tokenizer import END_OF_TEXT, PADDING, LoadedTokenizer

UNKNOWN = "<|unknown|>"
"""What WordPiece and Unigram write for a character that was not in the sample."""


def special_tokens(spec: TrainTokenizer) -> list[str]:
    """The special tokens in the order of their ids, each once."""
    own = [END_OF_TEXT, PADDING] + ([] if spec.algorithm == "bpe" else [UNKNOWN])
    return list(dict.fromkeys([*own, *spec.special_tokens]))


def train(spec: TrainTokenizer, texts: Iterator[str]) -> Tokenizer:
    """A tokenizer with exactly spec.vocab_size entries; the same bytes for the same texts.

    Raises UserError `vocabulary-too-large` when the texts do not yield that many entries.
    """
    special = special_tokens(spec)
    tokenizer, trainer = {"bpe": _byte_level_bpe, "wordpiece": _wordpiece, "unigram": _unigram}[spec.algorithm](
        spec.vocab_size, special
    )
    tokenizer.train_from_iterator(texts, trainer)
    size = tokenizer.get_vocab_size()
    if size != spec.vocab_size:
        raise UserError(
            "vocabulary-too-large" if size < spec.vocab_size else "vocabulary-too-small",
            "spec.tokenizer.train.vocabSize",
            f"{spec.vocab_size} entries were asked for, but {spec.algorithm} on this text makes {size}"
            + (" at most." if size < spec.vocab_size else " at least, one for each character and special token."),
            f"Write vocabSize: {size}"
            + (
                ", or add documents or raise sampleBytes." if size < spec.vocab_size else " or more, or algorithm: bpe."
            ),
        )
    return tokenizer


def _byte_level_bpe(vocab_size: int, special: list[str]) -> tuple[Tokenizer, Any]:
    """GPT-2's byte-level BPE (Radford et al. 2019): all 256 bytes are in the vocabulary, so every text has a code."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )


def _wordpiece(vocab_size: int, special: list[str]) -> tuple[Tokenizer, Any]:
    """BERT's WordPiece, cased (Devlin et al. 2019, arXiv:1810.04805): words and punctuation; white space is not kept."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer, trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False)


def _unigram(vocab_size: int, special: list[str]) -> tuple[Tokenizer, Any]:
    """The unigram language model (Kudo 2018, arXiv:1804.10959) with SentencePiece's mark for a space."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    return tokenizer, trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=special, unk_token=UNKNOWN, show_progress=False
    )


def configuration(spec: TrainTokenizer) -> dict[str, Any]:
    """The content of tokenizer_config.json for transformers' AutoTokenizer."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": PADDING,
        "clean_up_tokenization_spaces": False,
    }
    if spec.algorithm != "bpe":
        config["unk_token"] = UNKNOWN
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
