"""The Tokenizer stage: trains a tokenizer on a weighted sample, or takes a given one, and checks it on real text."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pretrain_api import layout, objectives
from pretrain_api.nouns import counted
from pretrain_api.stages import Flow, Stage
from pretrain_api.types.model import Tokenizer as TokenizerSpec
from pretrain_api.types.model import TrainTokenizer
from pretrain_trainer import tokenizer_training
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.data import captions, given, image_splits
from pretrain_trainer.data.documents import source_texts
from pretrain_trainer.data.sample import divide_bytes, sample_texts
from pretrain_trainer.data.split import validation_bound
from pretrain_trainer.tokenizer import (
    CONFIG_FILE,
    TOKENIZER_FILE,
    LoadedTokenizer,
    check_special_tokens,
    given_files,
    load_folder,
)

CHECKED_BYTES = 1 << 20
"""Text of each source that makes the round trip."""
Sampled = Callable[[int], Iterator[str]]
"""Training text of a source, at most so many bytes."""


def inputs(context: StageContext) -> str:
    """Digest of a given tokenizer's files, or of the shards whose captions one is trained on; empty for one that is trained on
    documents."""
    asked = _asked(context)
    if asked.train:
        # Captions come from shards that lie outside of the run.
        return "" if objectives.learns_text(context.spec) else given.digest(given.read(context.spec))
    digest = hashlib.sha256()
    for name, content in sorted(_given_files(context, asked.uri).items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _asked(context: StageContext) -> TokenizerSpec:
    assert context.spec.tokenizer is not None, "the stage is planned only where there is one"
    return context.spec.tokenizer


def run(context: StageContext) -> StageResult:
    asked, folder = _asked(context), layout.tokenizer(context.fingerprint)
    sampled = _captions(context) if not objectives.learns_text(context.spec) else _documents(context)
    context.check_stopping()
    spec = asked.train
    flows: Mapping[str, Flow] = {}
    if spec:
        files, flows = _train(context, spec, sampled)
    else:
        files = _given_files(context, asked.uri)
    for name, content in sorted(files.items()):
        context.storage.write_bytes(f"{folder}/{name}", content)
    loaded = load_folder(context.storage, folder)
    check_special_tokens(loaded, context.spec)
    by_source = _checks(context, loaded, sampled)
    details = {
        "algorithm": spec.algorithm if spec else "",
        "uri": asked.uri,
        "vocabSize": loaded.vocab_size,
        "endOfText": loaded.end_of_text,
        "padding": loaded.padding,
        "sha256": loaded.sha256,
        "bySource": by_source,
    }
    return StageResult(
        Flow(
            documents_in=sum(flow.documents_in for flow in flows.values()),
            bytes_in=sum(flow.bytes_in for flow in flows.values()),
        ),
        flows,
        _message(loaded, spec, by_source),
        details,
    )


def _documents(context: StageContext) -> Mapping[str, Sampled]:
    """Of the sources that have documents."""
    storage, prepared = context.storage, context.upstream.get(Stage.PREPARE, "")

    def of(source: str) -> Sampled:
        bound = validation_bound(source_texts(storage, prepared, source), context.spec.data.validation.fraction)
        return lambda most_bytes: sample_texts(storage, prepared, source, most_bytes, bound)

    return {source.name: of(source.name) for source in context.spec.data.sources if source.documents}


def _captions(context: StageContext) -> Mapping[str, Sampled]:
    """Of the sources of images, in lower case as the tokenizer will see them."""

    def of(source: image_splits.Divided) -> Sampled:
        return lambda most_bytes: (text.lower() for text in captions.sample_captions(source, most_bytes))

    return {found.one.source: of(found) for found in image_splits.divided(context)}


def _given_files(context: StageContext, uri: str) -> dict[str, bytes]:
    return given_files(uri, context.spec.storage.endpoint_url, "spec.tokenizer.uri")


def _train(
    context: StageContext, spec: TrainTokenizer, sampled: Mapping[str, Sampled]
) -> tuple[dict[str, bytes], Mapping[str, Flow]]:
    """The files of a newly trained tokenizer, and what of each source it was trained on."""
    budgets = divide_bytes(
        spec.sample_bytes, {source.name: source.weight_at_start for source in context.spec.data.sources}
    )
    flows: dict[str, Flow] = {}

    def texts() -> Iterator[str]:
        done = 0
        for name, budget in budgets.items():
            documents, size_before = 0, done
            for text in sampled[name](budget):
                context.check_stopping()
                documents += 1
                done += len(text.encode())
                context.progress.update("read", done, spec.sample_bytes, "bytes")
                yield text
            flows[name] = Flow(documents_in=documents, bytes_in=done - size_before)
        context.progress.update("train", 0, None, "", message=f"training on {done:,} bytes of text")

    further = objectives.special_tokens(context.spec)
    tokenizer = tokenizer_training.train(spec, texts, further)
    if not objectives.learns_text(context.spec):
        tokenizer = tokenizer_training.lower_case(tokenizer)
    files = {
        TOKENIZER_FILE: tokenizer.to_str(pretty=True).encode(),
        CONFIG_FILE: (json.dumps(tokenizer_training.configuration(spec, further), indent=1) + "\n").encode(),
    }
    return files, flows


def _checks(context: StageContext, loaded: LoadedTokenizer, sampled: Mapping[str, Sampled]) -> dict[str, Any]:
    """Round trip and compression by source of text."""
    result: dict[str, Any] = {}
    for name, sample in sampled.items():
        context.check_stopping()
        checked = tokenizer_training.check(loaded, sample(CHECKED_BYTES))
        result[name] = {
            "documents": checked.documents,
            "bytes": checked.bytes,
            "tokens": checked.tokens,
            "bytesPerToken": checked.bytes / checked.tokens if checked.tokens else 0.0,
            "documentsChanged": checked.documents_changed,
            "characters": checked.characters,
            "charactersLost": checked.characters_lost,
            "tokenLengths": {str(length): count for length, count in sorted(checked.token_lengths.items())},
        }
    return result


def _message(loaded: LoadedTokenizer, spec: TrainTokenizer | None, by_source: Mapping[str, Any]) -> str:
    tokens = sum(figures["tokens"] for figures in by_source.values())
    size = sum(figures["bytes"] for figures in by_source.values())
    lost = sum(figures["charactersLost"] for figures in by_source.values())
    made = f"{spec.algorithm}, {loaded.vocab_size:,} entries" if spec else f"given, {loaded.vocab_size:,} entries"
    ratio = f"{size / tokens:.2f} bytes per token" if tokens else "no text to measure it on"
    return f"{made}; {ratio}; round trip " + (f"loses {counted(lost, 'character')}" if lost else "loses nothing")
