"""Rules of storage, data and the tokenizer."""

import json
import re
from collections import Counter
from collections.abc import Iterator

from pretrain_api import objectives
from pretrain_api.problems import Path, closest
from pretrain_api.rules.base import Finding, Rule, exactly_one, ordered
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.model import TrainTokenizer

_PLACEHOLDER = re.compile(
    r"<[^<>]*>|\$\{?\w+\}?|\{\{.*?\}\}|\{\w+\}|\b(CHANGE[-_]?ME|TODO|YOUR[-_]\w+)\b", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_COMMON = frozenset(("file", "gs", "hf", "http", "https", "python", "s3", "tar", "zip"))
"""Schemes known without asking fsspec, whose import takes longer than the rest of a validation."""
_READ_ONLY = frozenset(
    (
        "blockcache",
        "data",
        "filecache",
        "git",
        "github",
        "http",
        "https",
        "python",
        "reference",
        "simplecache",
        "tar",
        "zip",
    )
)
_NOT_SHARED = frozenset(("memory",))
"""Seen by one process only, while every stage is a process of its own."""
_SPECIAL_TOKENS = 2
"""The end of text and the padding, which every trained tokenizer has."""
_BYTES = 256


def _addresses(spec: PretrainJobSpec) -> list[tuple[Path, str]]:
    """The addresses that the job names, with their fields."""
    addresses: list[tuple[Path, str]] = [(("spec", "storage", "uri"), spec.storage.uri)]
    for i, source in enumerate(spec.data.sources):
        addresses.append((("spec", "data", "sources", i, "documents"), source.documents))
        addresses.append((("spec", "data", "sources", i, "shards"), source.shards))
    if spec.data.prepare.decontaminate:
        path: Path = ("spec", "data", "prepare", "decontaminate", "against")
        addresses += [((*path, i), address) for i, address in enumerate(spec.data.prepare.decontaminate.against)]
    if spec.tokenizer:
        addresses.append((("spec", "tokenizer", "uri"), spec.tokenizer.uri))
    return [(path, address) for path, address in addresses if address]


def _malformed(spec: PretrainJobSpec) -> Iterator[Finding]:
    """What would be read as another place than the one that was meant, or as none."""
    for path, address in _addresses(spec):
        if _CONTROL.search(address):
            yield (
                path,
                f"{json.dumps(address)} holds a control character.",
                "Write the address on one line, without it.",
            )
        elif address != address.strip():
            yield path, f"{json.dumps(address)} begins or ends with white space.", "Remove it."
        elif re.match(r"file://(?!/)", address):
            rest = address.removeprefix("file://")
            what = f"{address} names the host {rest.partition('/')[0] or 'of no name'}, not a folder."
            yield path, what, f"Write file:///{rest.partition('/')[2] or '...'}, or the path {rest or '...'}."
        elif match := re.match(r"(s3a?|gs)://(/|\Z)", address):
            yield path, f"{address} names no bucket.", f"Write {match.group(1)}://BUCKET/..."
        elif "" in address.split("::"):
            yield path, f"nothing is written on one side of the :: in {address}.", "Write MEMBER::ARCHIVE."
        elif match := re.match(r"(zip|tar)://(?!.*::)", address):
            what = f"{address} names what is in an archive, but not the archive."
            yield path, what, f"Write {address}::ARCHIVE.{match.group(1)}."


def _placeholders(spec: PretrainJobSpec) -> Iterator[Finding]:
    for path, address in _addresses(spec):
        if match := _PLACEHOLDER.search(address):
            yield path, f'"{match.group()}" in "{address}" is a placeholder.', "Write the real address."


def _schemes(spec: PretrainJobSpec) -> Iterator[Finding]:
    path: Path = ("spec", "storage", "uri")
    if match := _SCHEME.match(spec.storage.uri):
        scheme = match.group(1)
        if not _known(scheme):
            yield path, f"{scheme}:// is unknown.", _meant(scheme)
        elif scheme in _READ_ONLY | _NOT_SHARED:
            what = f"{scheme}:// can only be read." if scheme in _READ_ONLY else f"{scheme}:// ends with its process."
            yield path, what, "Write a folder that can be written: a path, s3://, gs:// ..."
    for path, address in _addresses(spec):
        if path[:3] != ("spec", "data", "sources"):
            continue
        for scheme in _SCHEME.findall(address):
            if not _known(scheme):
                yield path, f"{scheme}:// in {address} is unknown.", _meant(scheme)


def _shards(spec: PretrainJobSpec) -> Iterator[Finding]:
    for i, source in enumerate(spec.data.sources):
        if source.shards and not source.shards.endswith(".json"):
            what = f"{source.shards} is not the address of a manifest."
            instead = "Index the tars with `pretrain index` and write the address of the manifest.json that it names."
            yield ("spec", "data", "sources", i, "shards"), what, instead


def _shards_tokenizer(spec: PretrainJobSpec) -> Iterator[Finding]:
    given = [source.name for source in spec.data.sources if source.shards]
    if given and _trained(spec) and objectives.learns_text(spec):
        yield (
            ("spec", "tokenizer", "train"),
            f"a tokenizer that is trained here is not the one that made the tokens of {', '.join(given)}.",
            "Write tokenizer: {uri: ...} with the folder of the tokenizer that the shards were made with.",
        )


def _known(scheme: str) -> bool:
    if scheme in _COMMON:
        return True
    from fsspec import available_protocols

    return scheme in available_protocols()


def _meant(scheme: str) -> str:
    from fsspec import available_protocols

    return f"Write {closest(scheme, {*_COMMON, *available_protocols()}) or 's3'}:// or a path."


def _endpoint(spec: PretrainJobSpec) -> Iterator[Finding]:
    if spec.storage.endpoint_url and not spec.storage.uri.startswith(("s3://", "s3a://")):
        what = f"an S3 server is given, but storage.uri is {spec.storage.uri}."
        yield ("spec", "storage", "endpointUrl"), what, "Write an s3:// address in storage.uri, or remove endpointUrl."


def _endpoint_scheme(spec: PretrainJobSpec) -> Iterator[Finding]:
    url = spec.storage.endpoint_url
    if url and not url.startswith(("http://", "https://")):
        yield (
            ("spec", "storage", "endpointUrl"),
            f'"{url}" is no web address.',
            f"Write https://{url.split('://')[-1]}.",
        )


def _source_names(spec: PretrainJobSpec) -> Iterator[Finding]:
    names = [source.name for source in spec.data.sources]
    for i, name in enumerate(names):
        if name in names[:i]:
            what = f'"{name}" is already the name of sources[{names.index(name)}].'
            yield ("spec", "data", "sources", i, "name"), what, f"Write another name, such as {name}-{i + 1}."


def _licenses(spec: PretrainJobSpec) -> Iterator[Finding]:
    allowed = spec.data.allowed_licenses
    if not allowed:
        return
    refused = [
        (i, source)
        for i, source in enumerate(spec.data.sources)
        if source.license not in allowed and not (source.fields.license and not source.license)
    ]
    counts = Counter(source.license or "without a licence" for _, source in refused)
    total = ", ".join(f"{count} {name}" for name, count in counts.items())
    for i, source in refused:
        path = ("spec", "data", "sources", i, "license")
        if source.license:
            near = closest(source.license, allowed)
            what = f'source {source.name} has the licence "{source.license}", which allowedLicenses does not list'
            instead = f"Write {near}." if near else "Remove the source or add the licence to data.allowedLicenses."
        else:
            what = f"source {source.name} has no licence, and allowedLicenses is {', '.join(allowed)}"
            instead = "Write its SPDX identifier in license, or the field that holds it in fields.license."
        yield path, f"{what} (refused sources: {total}).", instead


def _quality_custom(spec: PretrainJobSpec) -> Iterator[Finding]:
    quality = spec.data.prepare.quality
    if quality and quality.preset == "custom":
        filters = (quality.gopher_quality, quality.gopher_repetition, quality.c4, quality.fineweb)
        if not any(filters):
            what = "custom, but no filter is written."
            instead = "Write at least one of gopherQuality, gopherRepetition, c4 and fineweb, or preset: fineweb."
            yield ("spec", "data", "prepare", "quality", "preset"), what, instead


def _deduplicate(spec: PretrainJobSpec) -> Iterator[Finding]:
    wanted = spec.data.prepare.deduplicate
    if wanted and not wanted.exact and not wanted.minhash:
        path = ("spec", "data", "prepare", "deduplicate")
        yield path, "neither exact nor minhash is written.", "Write deduplicate: {exact: {}, minhash: {}}."


def _trained(spec: PretrainJobSpec) -> TrainTokenizer | None:
    return spec.tokenizer.train if spec.tokenizer else None


def _special_tokens(spec: PretrainJobSpec) -> Iterator[Finding]:
    train = _trained(spec)
    if train is None:
        return
    tokens = train.special_tokens
    path = ("spec", "tokenizer", "train", "specialTokens")
    for i, token in enumerate(tokens):
        if token in tokens[:i]:
            yield (*path, i), f'"{token}" is written twice.', "Remove one."


def _vocabulary_room(spec: PretrainJobSpec) -> Iterator[Finding]:
    train = _trained(spec)
    if train is None:
        return
    special = len(train.special_tokens) + len(objectives.special_tokens(spec))
    needed = _SPECIAL_TOKENS + special + (_BYTES if train.algorithm == "bpe" else 0)
    if train.vocab_size <= needed:
        what = f"vocabSize is {train.vocab_size}, but single bytes and special tokens alone take {needed} entries."
        yield ("spec", "tokenizer", "train", "vocabSize"), what, f"Write {needed + 1} or more; 32768 is usual."


RULES = (
    Rule("address-malformed", "spec", _malformed),
    Rule("address-placeholder", "spec", _placeholders),
    Rule("unknown-protocol", "spec", _schemes),
    Rule(
        "endpoint-without-s3",
        "spec.storage",
        _endpoint,
        cel="!has(self.endpointUrl) || self.uri.startsWith('s3://') || self.uri.startsWith('s3a://')",
        message="endpointUrl is given, but uri is no s3:// address. Write an s3:// address in uri, or remove endpointUrl.",
        field="endpointUrl",
    ),
    Rule(
        "endpoint-malformed",
        "spec.storage",
        _endpoint_scheme,
        cel="!has(self.endpointUrl) || self.endpointUrl.startsWith('http://') || self.endpointUrl.startsWith('https://')",
        message="endpointUrl is no web address. Write https:// and the server's name.",
        field="endpointUrl",
    ),
    exactly_one(
        "source-kind",
        "spec.data.sources[]",
        'documents: "s3://bucket/*.jsonl.zst"',
        "documents",
        "shards",
        texts=("documents", "shards"),
    ),
    Rule("shards-address", "spec.data", _shards),
    Rule("shards-with-new-tokenizer", "spec", _shards_tokenizer),
    Rule("source-name-twice", "spec.data", _source_names),  # an API server refuses it by the list's key
    Rule("license-refused", "spec.data", _licenses),
    Rule(
        "quality-custom-empty",
        "spec.data.prepare.quality",
        _quality_custom,
        cel="self.preset != 'custom' || has(self.gopherQuality) || has(self.gopherRepetition) || has(self.c4)"
        " || has(self.fineweb)",
        message="preset is custom, but no filter is written. Write at least one of gopherQuality, gopherRepetition, c4"
        " and fineweb, or preset: fineweb.",
    ),
    ordered("words-min-above-max", "spec.data.prepare.quality.gopher_quality", "minWords", "maxWords"),
    ordered(
        "words-min-above-max", "spec.data.prepare.quality.gopher_quality", "minMeanWordLength", "maxMeanWordLength"
    ),
    Rule(
        "deduplicate-empty",
        "spec.data.prepare.deduplicate",
        _deduplicate,
        cel="has(self.exact) || has(self.minhash)",
        message="Neither exact nor minhash is written. Write deduplicate: {exact: {}, minhash: {}}.",
    ),
    exactly_one("tokenizer-kind", "spec.tokenizer", "train: {vocabSize: 32768}", "train", "uri", texts=("uri",)),
    Rule("special-token-twice", "spec.tokenizer.train", _special_tokens),
    Rule("vocabulary-too-small", "spec.tokenizer.train", _vocabulary_room),
)
