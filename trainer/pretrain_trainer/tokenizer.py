"""The tokenizer as the stages use it: found in a folder, with its end of text and its padding. Training one is the
Tokenizer stage's business."""

import functools
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from pretrain_api import layout, objectives, spans
from pretrain_api.errors import UserError
from pretrain_api.objectives import MASK, SENTINELS
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJobSpec
from pretrain_trainer.context import StageContext
from pretrain_trainer.documents.faults import patiently, reading

END_OF_TEXT = "<|endoftext|>"
PADDING = "<|padding|>"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
_OLD_END_OF_TEXT = 2
_SPACES = "\u0120\u010a\u0109\u2581"
"""Space, line feed and tab as byte-level vocabularies write them (letters, to Unicode), and SentencePiece's space."""


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer and what the stages need to know of it."""

    tokenizer: Tokenizer
    """Encodes documents as they are: no truncation, no padding; a control token (end of text, padding, mask, sentinels) that is
    spelled out in a document is ordinary text. Further special tokens are recognised."""
    end_of_text: int
    padding: int
    """The end of text where the tokenizer has no padding token."""
    mask: int | None
    """None where the tokenizer has no mask token."""
    sentinels: tuple[int, ...]
    """<extra_id_0>, <extra_id_1> and so on, as far as the tokenizer has them."""
    vocab_size: int
    """Highest token id + 1."""
    sha256: str
    """SHA-256 of tokenizer.json, in hex."""


def load(context: StageContext) -> LoadedTokenizer:
    """The tokenizer that the Tokenizer stage left."""
    return load_folder(context.storage, layout.tokenizer(context.upstream[Stage.TOKENIZER]))


def of_job(context: StageContext) -> LoadedTokenizer | None:
    """The tokenizer; None where the objective reads no text."""
    return load(context) if objectives.reads_text(context.spec) else None


def load_folder(storage: Storage, folder: str) -> LoadedTokenizer:
    """The tokenizer in a folder below the storage; processes keep the one they read last.

    Raises UserError `tokenizer-missing`, `tokenizer-broken` or `tokenizer-without-end-of-text`.
    """
    return _loaded(read_files(storage, folder), storage.uri(folder))


def load_given(uri: str, endpoint_url: str, where: str) -> LoadedTokenizer:
    """The tokenizer at an address outside of any run, which `where` names; raises what load_folder and given_files raise."""
    return _loaded(given_files(uri, endpoint_url, where), uri)


def _loaded(files: Mapping[str, bytes], uri: str) -> LoadedTokenizer:
    return _parse(files[TOKENIZER_FILE], files.get(CONFIG_FILE, b"{}"), files.get(SPECIAL_TOKENS_FILE, b"{}"), uri)


def check_special_tokens(loaded: LoadedTokenizer, spec: PretrainJobSpec) -> None:
    """Raise UserError unless the tokenizer has what the job's objective needs."""
    objective, missing = spec.objective, ""
    if objective.masked_lm and loaded.mask in (None, loaded.end_of_text, loaded.padding):
        missing = "mask_token in tokenizer_config.json, with a token of the vocabulary that nothing else is named after"
    elif objective.clip and loaded.end_of_text == _OLD_END_OF_TEXT:
        missing = (
            f"an end of text with another id than {_OLD_END_OF_TEXT}, by which transformers' CLIP knows models of old that "
            "take the greatest id for the end of a caption"
        )
    elif objective.span_corruption and not loaded.sentinels:
        missing = f"{SENTINELS[0]}, {SENTINELS[1]} and so on in the vocabulary"
    elif corruption := objective.span_corruption:
        cut = spans.cut(spec.training.sequence_length, corruption.noise_density, corruption.mean_span_length)
        if cut.spans > (there := len(loaded.sentinels)):
            raise UserError(
                "spans-not-fitting",
                "spec.objective.spanCorruption.meanSpanLength",
                f"a sequence of {cut.length} tokens has {cut.spans} spans, but the tokenizer {there} sentinels.",
                "Write a larger meanSpanLength, a shorter training.sequenceLength, or train a tokenizer: it has "
                f"{len(SENTINELS)} sentinels.",
            )
    if missing:
        raise UserError(
            "tokenizer-without-special-tokens",
            "spec.tokenizer.uri",
            f"spec.objective.{objectives.name(objective)} needs {missing}.",
            "Add it, or train a tokenizer with spec.tokenizer.train, which then has it.",
        )


def word_starts(loaded: LoadedTokenizer) -> npt.NDArray[np.bool_]:
    """bool [vocab_size]: whether a token begins a word. Continuations are what WordPiece marks with ##; in a byte-level or
    SentencePiece vocabulary, what begins with a letter or a digit instead of a space or a sign."""
    starts = np.ones(loaded.vocab_size, dtype=np.bool_)
    vocabulary = loaded.tokenizer.get_vocab()
    is_wordpiece = type(loaded.tokenizer.model).__name__ == "WordPiece"
    for token, number in vocabulary.items():
        continues = token.startswith("##") if is_wordpiece else token[:1].isalnum() and token[:1] not in _SPACES
        starts[number] = not continues
    return starts


def given_files(uri: str, endpoint_url: str, where: str) -> dict[str, bytes]:
    """The files of a tokenizer at an address outside of any run. UserError, with the field or option `where` as its place,
    for an address that cannot be read; SourceUnavailable where that may pass."""

    def read() -> dict[str, bytes]:
        with reading(where, uri):
            return read_files(Storage(uri, endpoint_url).asking_once(), "")

    return patiently(read)


def read_files(storage: Storage, folder: str) -> dict[str, bytes]:
    """The files of a tokenizer's folder by name, those that are there."""
    prefix = f"{folder}/" if folder else ""
    files = dict[str, bytes]()
    for name in (TOKENIZER_FILE, CONFIG_FILE, SPECIAL_TOKENS_FILE, "chat_template.jinja"):
        try:
            files[name] = storage.read_bytes(f"{prefix}{name}")
        except (FileNotFoundError, NotADirectoryError):
            continue
    if TOKENIZER_FILE not in files:
        raise UserError(
            "tokenizer-missing",
            "spec.tokenizer.uri",
            f"{storage.uri(folder)} has no {TOKENIZER_FILE}.",
            "Write the folder of a Hugging Face tokenizer that holds one, or train a tokenizer with spec.tokenizer.train.",
        )
    return files


def with_length(files: Mapping[str, bytes], length: int) -> dict[str, bytes]:
    """The files of a tokenizer for a model that was trained on sequences of that many tokens.

    The length is not the tokenizer's own: one tokenizer serves runs of any sequence length.
    """
    config = _json_object(files.get(CONFIG_FILE, b"{}"), CONFIG_FILE) | {"model_max_length": length}
    return {**files, CONFIG_FILE: (json.dumps(config, indent=1, ensure_ascii=False) + "\n").encode()}


def ending_captions(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a tokenizer that puts the end of text behind each text of its own accord, within the length it is cut to."""
    loaded = _loaded(files, TOKENIZER_FILE)
    description = _json_object(files[TOKENIZER_FILE], TOKENIZER_FILE)
    end = loaded.tokenizer.id_to_token(loaded.end_of_text)
    tokenizer = Tokenizer.from_str(json.dumps(description))
    tokenizer.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, loaded.end_of_text)])
    config = _json_object(files.get(CONFIG_FILE, b"{}"), CONFIG_FILE) | {"padding_side": "right"}
    return {
        **files,
        TOKENIZER_FILE: tokenizer.to_str(pretty=True).encode(),
        CONFIG_FILE: (json.dumps(config, indent=1, ensure_ascii=False) + "\n").encode(),
    }


@functools.lru_cache(maxsize=1)
def _parse(model: bytes, config: bytes, special_tokens: bytes, where: str) -> LoadedTokenizer:
    description, settings, named = (
        _json_object(content, f"{where}/{name}")
        for content, name in ((model, TOKENIZER_FILE), (config, CONFIG_FILE), (special_tokens, SPECIAL_TOKENS_FILE))
    )
    try:
        tokenizer = Tokenizer.from_str(json.dumps(description))
    except Exception as error:  # the library raises bare Exception
        raise _broken(f"{where}/{TOKENIZER_FILE}", str(error)) from error
    end_of_text = _token(tokenizer, "eos_token", settings, named)
    if end_of_text is None:
        end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    if end_of_text is None:
        raise UserError(
            "tokenizer-without-end-of-text",
            "spec.tokenizer.uri",
            f"{where} names no end-of-text token: eos_token is neither in {CONFIG_FILE} nor in {SPECIAL_TOKENS_FILE}, and the vocabulary has no {END_OF_TEXT}.",
            f'Write {{"eos_token": "..."}} with a token of the vocabulary into {CONFIG_FILE}.',
        )
    padding = _token(tokenizer, "pad_token", settings, named)
    padding = end_of_text if padding is None else padding
    mask = _token(tokenizer, "mask_token", settings, named)
    mask = tokenizer.token_to_id(MASK) if mask is None else mask
    vocabulary = tokenizer.get_vocab()
    sentinels = tuple(vocabulary[name] for name in itertools.takewhile(vocabulary.__contains__, SENTINELS))
    controls = {end_of_text, padding, *sentinels, *(() if mask is None else (mask,))}
    return LoadedTokenizer(
        _for_documents(description, controls),
        end_of_text,
        padding,
        mask,
        sentinels,
        max(vocabulary.values()) + 1,
        hashlib.sha256(model).hexdigest(),
    )


def _json_object(content: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise _broken(where, str(error)) from error
    if not isinstance(value, dict):
        raise _broken(where, "it holds no JSON object")
    return value


def _broken(where: str, why: str) -> UserError:
    return UserError(
        "tokenizer-broken",
        "spec.tokenizer.uri",
        f"{where} cannot be read: {why}.",
        "Save the tokenizer again with save_pretrained, or write the folder of another one.",
    )


def _token(tokenizer: Tokenizer, name: str, *settings: dict[str, Any]) -> int | None:
    """Id of a token that the settings name, as a string or as an object with its content."""
    for setting in settings:
        value = setting.get(name)
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str) and (token := tokenizer.token_to_id(content)) is not None:
            return int(token)
    return None


def _for_documents(description: dict[str, Any], controls: set[int]) -> Tokenizer:
    """The tokenizer with only the control tokens special, and special tokens taken for text.

    A document that spells out the end of text would otherwise be cut in two by its own words.
    """
    added = [token | {"special": token["id"] in controls} for token in description.get("added_tokens", [])]
    tokenizer = Tokenizer.from_str(json.dumps(description | {"added_tokens": added}))
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
