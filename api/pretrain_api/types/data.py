"""Where the training data comes from and how documents are prepared."""

from typing import Annotated, Literal

from pydantic import Field

from pretrain_api.types.base import ApiModel, DnsLabel, Ratio, ShortText, Uri


class DocumentFields(ApiModel):
    """Names of the fields to read from jsonl, parquet and webdataset records."""

    text: Annotated[str, Field(min_length=1, max_length=256)] = "text"
    """Field that holds the document's text, or an image's caption. Dots reach into nested objects: `content.body`. Of a webdataset record it is a member (`txt`) or a field of its JSON (`caption`, `json.caption`); `text` is also member txt."""
    license: ShortText = ""
    """Field that holds the document's licence. Empty: the source's `license` stands for all."""


class Source(ApiModel):
    """One part of the training mixture."""

    name: DnsLabel
    """Name of the source, unique in the job; figures are reported under it."""
    documents: Annotated[str, Field(max_length=2048)] = ""
    """Raw documents: a path, glob or any fsspec URL. Formats: text, jsonl, parquet, WARC and WET, webdataset (.tar), each plain, .gz or .zst; braces as in {0000..0099}.tar; members of archives as zip://*.txt::URL or tar://*.txt::URL; python://lib/**/*.py and python://pydoc/*.txt are the sources and the manual of the running Python."""
    shards: Annotated[str, Field(max_length=2048)] = ""
    """Ready shards of tokens or images: the address of their manifest.json, which Encode of another job or `pretrain index` wrote. Such a source is neither collected nor prepared. Tokens are not encoded again and need tokenizer.uri."""
    format: Literal["auto", "text", "jsonl", "parquet", "warc", "webdataset"] = "auto"
    """Format of the files. auto: from the file name."""
    fields: DocumentFields = DocumentFields()
    """Names of the fields to read from jsonl, parquet and webdataset records."""
    license: ShortText = ""
    """Licence of the source as an SPDX identifier, for `data.allowedLicenses` and the model card."""
    weight: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    """Share of the samples relative to the other sources' weights. It may be edited while training goes on: from the next sample on, the new weights hold."""
    initial_weight: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Weight at which training began: the run's identity and the tokenizer's sample go by it. Omitted: that of `weight` when training began, which an edit of `weight` leaves as it was."""
    max_epochs: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """How often the source may be repeated; afterwards the others take its place. Omitted: without limit."""

    @property
    def weight_at_start(self) -> float:
        """What identities go by."""
        return self.weight if self.initial_weight is None else self.initial_weight


class Language(ApiModel):
    """Language identification with fastText's lid.176."""

    keep: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z]{2,3}$", max_length=3)]], Field(min_length=1, max_length=200)
    ] = ["en"]
    """ISO 639 codes of the languages to keep."""
    threshold: Ratio = 0.65
    """Least probability of the language (FineWeb: 0.65)."""


class GopherQuality(ApiModel):
    """Quality rules of Gopher (Rae et al. 2021, arXiv:2112.11446, table A1)."""

    min_words: Annotated[int, Field(ge=0)] = 50
    """Fewest words in a document."""
    max_words: Annotated[int, Field(ge=1)] = 100_000
    """Most words in a document."""
    min_mean_word_length: Annotated[float, Field(ge=0)] = 3.0
    """Least mean length of a word, in characters."""
    max_mean_word_length: Annotated[float, Field(ge=0)] = 10.0
    """Greatest mean length of a word, in characters."""
    max_symbol_word_ratio: Annotated[float, Field(ge=0)] = 0.1
    """Most hash signs, and most ellipses, per word."""
    max_bullet_line_ratio: Ratio = 0.9
    """Greatest share of lines that start with a bullet."""
    max_ellipsis_line_ratio: Ratio = 0.3
    """Greatest share of lines that end with an ellipsis."""
    min_alphabetic_word_ratio: Ratio = 0.8
    """Least share of words with at least one letter."""
    min_stop_words: Annotated[int, Field(ge=0)] = 2
    """Fewest distinct stop words out of the, be, to, of, and, that, have, with."""


class GopherRepetition(ApiModel):
    """Repetition rules of Gopher (Rae et al. 2021, arXiv:2112.11446, table A1)."""

    max_duplicate_line_ratio: Ratio = 0.3
    """Greatest share of lines that repeat an earlier one."""
    max_duplicate_paragraph_ratio: Ratio = 0.3
    """Greatest share of paragraphs that repeat an earlier one."""
    max_duplicate_line_character_ratio: Ratio = 0.2
    """Greatest share of characters in repeated lines."""
    max_duplicate_paragraph_character_ratio: Ratio = 0.2
    """Greatest share of characters in repeated paragraphs."""
    max_top_ngram_character_ratios: Annotated[list[Ratio], Field(min_length=3, max_length=3)] = [0.20, 0.18, 0.16]
    """Greatest share of characters in the most frequent 2-, 3- and 4-gram of words."""
    max_duplicate_ngram_character_ratios: Annotated[list[Ratio], Field(min_length=6, max_length=6)] = [
        0.15, 0.14, 0.13, 0.12, 0.11, 0.10,
    ]  # fmt: skip
    """Greatest share of characters in repeated 5- to 10-grams of words."""


class C4Quality(ApiModel):
    """Rules of C4 (Raffel et al. 2020, arXiv:1910.10683, section 2.2), on lines first, then on the document."""

    min_sentences: Annotated[int, Field(ge=0)] = 5
    """Fewest sentences in a document."""
    min_words_per_line: Annotated[int, Field(ge=0)] = 3
    """Lines with fewer words are dropped."""
    max_word_length: Annotated[int, Field(ge=0)] = 1000
    """Lines with a longer word are dropped. 0: no bound."""
    terminal_punctuation: Literal["required", "ignored"] = "required"
    """Whether lines without a final . ? ! or quotation mark are dropped. FineWeb ignores this rule."""
    lorem_ipsum: Literal["refused", "ignored"] = "refused"
    """Whether documents that contain "lorem ipsum" are removed."""
    javascript: Literal["refused", "ignored"] = "refused"
    """Whether lines that mention javascript are dropped."""
    curly_bracket: Literal["refused", "ignored"] = "refused"
    """Whether documents with a curly bracket are removed."""
    policy: Literal["refused", "ignored"] = "refused"
    """Whether lines of cookie and privacy notices are dropped."""


class FineWebQuality(ApiModel):
    """Rules that FineWeb added (Penedo et al. 2024, arXiv:2406.17557, section 3.6)."""

    min_line_punctuation_ratio: Ratio = 0.12
    """Least share of lines that end with punctuation."""
    max_short_line_ratio: Ratio = 0.67
    """Greatest share of short lines."""
    short_line_length: Annotated[int, Field(ge=1)] = 30
    """A line of at most this many characters is short."""
    max_duplicate_line_character_ratio: Ratio = 0.01
    """Greatest share of characters in repeated lines."""
    max_newline_word_ratio: Annotated[float, Field(ge=0)] = 0.3
    """Most line breaks per word."""


class Quality(ApiModel):
    """Heuristic quality filters. Each removed document is counted under the rule that removed it."""

    preset: Literal["fineweb", "gopher", "c4", "custom"] = "fineweb"
    """fineweb: Gopher quality and repetition, C4 without terminal punctuation, and FineWeb's own rules; gopher: quality and repetition; c4: C4; custom: only the filters written below."""
    gopher_quality: GopherQuality | None = None
    """Gopher's quality rules; written here, they replace the preset's thresholds."""
    gopher_repetition: GopherRepetition | None = None
    """Gopher's repetition rules; written here, they replace the preset's thresholds."""
    c4: C4Quality | None = None
    """C4's rules; written here, they replace the preset's settings."""
    fineweb: FineWebQuality | None = None
    """FineWeb's rules; written here, they replace the preset's thresholds."""


class ExactDeduplication(ApiModel):
    """Removes documents whose whitespace-normalised text was seen before; the first one stays."""


class MinHashDeduplication(ApiModel):
    """Removes near duplicates (Broder 1997; parameters of FineWeb: 14 bands of 8 hashes over word 5-grams)."""

    bands: Annotated[int, Field(ge=1, le=256)] = 14
    """Number of bands."""
    rows: Annotated[int, Field(ge=1, le=64)] = 8
    """Hashes in a band."""
    ngram: Annotated[int, Field(ge=1, le=32)] = 5
    """Words in a shingle."""


class Deduplicate(ApiModel):
    """Deduplication within and across sources, in the order of the sources."""

    exact: ExactDeduplication | None = None
    """Removes exact duplicates."""
    minhash: MinHashDeduplication | None = None
    """Removes near duplicates."""


class PersonalInformation(ApiModel):
    """Masks personal information in place; what was masked is counted by kind."""

    mask: Annotated[
        list[Literal["email", "ipAddress", "phoneNumber", "creditCard", "iban"]], Field(min_length=1, max_length=5)
    ] = ["email", "ipAddress", "phoneNumber", "creditCard", "iban"]
    """Kinds to mask."""


class Decontaminate(ApiModel):
    """Removes documents that share word n-grams with evaluation texts."""

    against: Annotated[list[Uri], Field(min_length=1, max_length=256)]
    """Files with the evaluation texts, read like `documents`."""
    ngram: Annotated[int, Field(ge=2, le=64)] = 13
    """Words in an n-gram (GPT-3: 13)."""
    fields: DocumentFields = DocumentFields()
    """Names of the fields to read from jsonl and parquet records."""


class Prepare(ApiModel):
    """Filters applied to documents, in this order. One that is not written is not applied."""

    language: Language | None = None
    """Keeps documents of the given languages."""
    quality: Quality | None = None
    """Keeps documents that pass heuristic quality rules."""
    deduplicate: Deduplicate | None = None
    """Removes duplicates."""
    pii: PersonalInformation | None = None
    """Masks personal information."""
    decontaminate: Decontaminate | None = None
    """Removes documents that overlap with evaluation texts."""
    parallelism: Annotated[int, Field(ge=0, le=4096)] = 0
    """Parallel parts of the stages before training and of the evaluation: in a cluster pods, each with the cores that it is given, on one machine processes. 0: one pod, or one process per core."""


class Validation(ApiModel):
    """Documents held out from training, chosen by a hash of their text."""

    fraction: Annotated[float, Field(ge=0, le=0.5)] = 0.001
    """Share of the documents of each source."""


class DataCache(ApiModel):
    """Records of shards that workers keep on disk."""

    path: Annotated[str, Field(pattern=r"^/", min_length=2, max_length=1024)]
    """Absolute path of a folder of the worker: in a cluster of a volume that `workers.template` mounts, best one that outlives the pod. Records lie below `pretrain-records` in it; several jobs may use one folder."""
    max_bytes: Annotated[int, Field(ge=1 << 20)] = 64 << 30
    """Bytes of records that a worker keeps for the job. A full cache keeps what it has: each record comes once an epoch."""


class Data(ApiModel):
    """The mixture and what happens to documents before training."""

    sources: Annotated[list[Source], Field(min_length=1, max_length=256)]
    """The parts of the mixture."""
    allowed_licenses: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=256)] = []
    """SPDX identifiers that may be trained on. Empty: all. A source or document with another licence is refused, by name and count."""
    max_document_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 16 << 20
    """A longer document is bad."""
    max_bad_documents: Annotated[int, Field(ge=0)] = 0
    """Bad documents (invalid UTF-8, too long, without the text field, broken JSON) that are skipped and counted before the job fails. 0: the first one fails the job."""
    max_bad_records: Annotated[int, Field(ge=0)] = 0
    """Records of shards that stay damaged when they are read again (their checksum differs) and that training goes on without: their samples keep their places in the order and count in no loss, and each is listed below `quarantine/` of the storage. 0: the first one fails the job. May be raised while the job exists."""
    cache: DataCache | None = None
    """Where workers keep the records that training read from remote storage, for later epochs and starts. Omitted: nowhere. It may change at any time and holds from the next start of training on; shards on a shared volume are read where they are."""
    prepare: Prepare = Prepare()
    """Filters applied to documents."""
    validation: Validation = Validation()
    """Documents held out from training."""
