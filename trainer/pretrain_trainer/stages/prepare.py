"""The Prepare stage: filters, deduplicates, masks and decontaminates what Collect found.

Two passes over the parts, with deduplication between them; memory does not grow with the corpus. Parts keep
Collect's names, documents their order and ids. Pods that share the work leave each other, in a folder beside the
parts, what the first pass decided, which documents are repeats, and the n-grams of the evaluation texts.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.nouns import counted, noun
from pretrain_api.stages import Flow, Stage
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.documents import locations, parts
from pretrain_trainer.documents.locations import Location
from pretrain_trainer.documents.reading import OpenFile, Rules
from pretrain_trainer.documents.records import Bad, Record
from pretrain_trainer.filters.contamination import known_ngrams
from pretrain_trainer.filters.deciding import Decisions, FirstPass
from pretrain_trainer.filters.firsts import Firsts
from pretrain_trainer.filters.rewriting import EXACT, NEAR, SecondPass, Task
from pretrain_trainer.filters.tally import Tally
from pretrain_trainer.parallel import ordered_map, processes

_AGAINST = "spec.data.prepare.decontaminate.against"


@dataclass(frozen=True)
class _Part:
    """A part's paths: as Collect left it, what is decided about it, which of its documents are repeats, and as Prepare
    leaves it."""

    source: str
    collected: str
    decisions: str
    marks: str
    prepared: str


def inputs(context: StageContext) -> str:
    """Identity of the evaluation texts; they lie outside the run."""
    listing = [file for files in _against(context) for file in files]
    return locations.digest(listing) if listing else ""


def run(context: StageContext) -> StageResult:
    """Prepare all sources. Where nothing is left of one, nothing stays behind."""
    try:
        return _run(context)
    except UserError:
        # Other inputs or settings have another identity: nobody would ever read what is here.
        context.storage.remove(layout.all_documents(context.fingerprint))
        raise


def _run(context: StageContext) -> StageResult:
    storage = context.storage
    work = list(_parts(context))
    if len(_written(context, work)) == len(work):
        tallies = [Tally.of(storage.read_json(parts.counts_name(part.prepared))) for part in work]
    else:
        known = _known_ngrams(context)
        documents = _first_pass(context, work)
        marks = _marks(context, work, documents)
        ends = np.cumsum(documents)
        tasks = (
            Task(part.collected, part.decisions, part.prepared, np.array(marks[end - count : end]))
            for part, count, end in zip(work, documents, ends, strict=True)
        )
        tallies = _second_pass(context, work, tasks, known)
    for name in {part.source for part in work}:
        storage.remove(_working_folder(context, name))
    storage.remove(_ngrams_file(context))
    return _result(context, work, tallies)


def _filter_share(context: StageContext) -> None:
    """Decide about the parts of this share."""
    work = list(_parts(context))
    written = _written(context, work)
    _first_pass(context, [part for part in context.share.of(work) if part not in written])


def _find_repeats(context: StageContext) -> None:
    """Leave the marks of all parts and the n-grams of the evaluation texts where `write` finds them."""
    storage, work = context.storage, list(_parts(context))
    if len(_written(context, work)) == len(work):
        return
    if known := _known_ngrams(context):
        with open(known, "rb") as file, storage.create(_ngrams_file(context)) as out:
            shutil.copyfileobj(file, out, 16 << 20)
    documents = _first_pass(context, work)
    marks = _marks(context, work, documents)
    for part, count, end in zip(work, documents, np.cumsum(documents), strict=True):
        context.check_stopping()
        buffer = io.BytesIO()
        np.save(buffer, marks[end - count : end], allow_pickle=False)
        storage.write_bytes(part.marks, buffer.getvalue())


def _write_share(context: StageContext) -> None:
    """Write the parts of this share."""
    storage, work = context.storage, list(_parts(context))
    written = _written(context, work)
    mine = [part for part in context.share.of(work) if part not in written]
    known = ""
    if mine and context.spec.data.prepare.decontaminate:
        local = context.scratch / f"known-{context.fingerprint}.npy"
        with storage.fs.open(storage.path(_ngrams_file(context)), "rb") as file, local.open("wb") as out:
            shutil.copyfileobj(file, out, 16 << 20)
        known = str(local)
    tasks = (
        Task(part.collected, part.decisions, part.prepared, np.load(io.BytesIO(storage.read_bytes(part.marks))))
        for part in mine
    )
    _second_pass(context, mine, tasks, known)


PHASES: Mapping[str, Callable[[StageContext], None]] = {
    "filter": _filter_share,
    "deduplicate": _find_repeats,
    "write": _write_share,
}


def _written(context: StageContext, work: Sequence[_Part]) -> set[_Part]:
    """The parts that are complete."""
    there = {
        name: set(context.storage.names(layout.documents(context.fingerprint, name)))
        for name in {part.source for part in work}
    }

    def is_there(part: _Part) -> bool:
        paths = (part.prepared, parts.counts_name(part.prepared))
        return all(path.rsplit("/", 1)[-1] in there[part.source] for path in paths)

    return {part for part in work if is_there(part)}


def _working_folder(context: StageContext, source: str) -> str:
    """What is known of a source's parts while they are not all written."""
    return f"{layout.documents(context.fingerprint, source)}/work"


def _ngrams_file(context: StageContext) -> str:
    """The n-grams of the evaluation texts. No source's folder: names of sources have no dot."""
    return f"{layout.all_documents(context.fingerprint)}/known-ngrams.npy"


def _parts(context: StageContext) -> Iterator[_Part]:
    for source in context.spec.data.sources:
        if source.documents:
            folder = layout.documents(context.fingerprint, source.name)
            working = _working_folder(context, source.name)
            for path in parts.names(context.storage, context.upstream[Stage.COLLECT], source.name):
                name = path.rsplit("/", 1)[-1]
                yield _Part(
                    source.name, path, f"{working}/{name}.decisions", f"{working}/{name}.marks", f"{folder}/{name}"
                )


def _first_pass(context: StageContext, work: Sequence[_Part]) -> list[int]:
    """Documents in each part, all of them decided about."""
    first = FirstPass(*_address(context), _settings(context))
    tasks = [(part.collected, part.decisions) for part in work]
    total = _bytes(context, work)
    documents, done, kept = [], 0, 0
    for tally in ordered_map(first, tasks, processes(context, len(work), total), context):
        documents.append(tally.documents_in)
        done += tally.bytes_in
        kept += tally.documents_in - tally.removed.total()
        context.progress.update("filter", done, total, "bytes", kept=kept, documents=sum(documents))
    return documents


def _marks(context: StageContext, work: Sequence[_Part], documents: Sequence[int]) -> npt.NDArray[np.uint8]:
    """uint8 [all documents]: EXACT or NEAR for those that repeat an earlier one, else 0. Lies on disk."""
    marks = np.memmap(context.scratch / "marks", np.uint8, "w+", shape=(max(sum(documents), 1),))
    deduplicate = context.spec.data.prepare.deduplicate
    bands = deduplicate.minhash.bands if deduplicate and deduplicate.minhash else 0
    if deduplicate is None or not (deduplicate.exact or bands):
        return marks
    exact = Firsts(context.scratch / "exact", 2, sum(documents)) if deduplicate.exact else None
    near = Firsts(context.scratch / "near", 1, sum(documents) * bands) if bands else None
    start = 0
    for done, (part, count) in enumerate(zip(work, documents, strict=True), 1):
        context.check_stopping()
        decisions = Decisions.load(context.storage, part.decisions)
        numbers = np.flatnonzero(decisions.kept).astype(np.uint64) + np.uint64(start)
        if exact:
            exact.add(decisions.exact, numbers)
        if near:
            with_words = numbers[decisions.has_bands]
            near.add(decisions.bands.reshape(-1, 1), np.repeat(with_words, bands))
        start += count
        context.progress.update("deduplicate", done, len(work), "parts")
    if exact:
        exact.mark_repeats(marks, EXACT)
    if near:
        near.mark_repeats(marks, NEAR)
    return marks


def _second_pass(context: StageContext, work: Sequence[_Part], tasks: Iterable[Task], known_ngrams: str) -> list[Tally]:
    """Write the parts; `tasks` belong to them one by one."""
    second = SecondPass(*_address(context), _settings(context), known_ngrams)
    total = _bytes(context, work)
    tallies, done, kept = [], 0, 0
    for values in ordered_map(second, tasks, processes(context, len(work), total), context):
        tally = Tally.of(values)
        tallies.append(tally)
        done += tally.bytes_in
        kept += tally.documents
        context.progress.update("write", done, total, "bytes", kept=kept)
    return tallies


def _address(context: StageContext) -> tuple[str, str]:
    return context.spec.storage.uri, context.spec.storage.endpoint_url


def _settings(context: StageContext) -> str:
    return context.spec.data.prepare.model_dump_json(by_alias=True)


def _bytes(context: StageContext, work: Sequence[_Part]) -> int:
    """Bytes of text in the parts as Collect left them."""
    if context.share.parts == 1:
        return context.record(Stage.COLLECT).flow.bytes_out
    return sum(int(context.storage.read_json(parts.counts_name(part.collected))["bytes"]) for part in work)


def _against(context: StageContext) -> Iterator[list[Location]]:
    """The files of each address of evaluation texts."""
    decontaminate = context.spec.data.prepare.decontaminate
    for index, address in enumerate(decontaminate.against if decontaminate else ()):
        yield locations.find(address, f"{_AGAINST}[{index}]")


def _known_ngrams(context: StageContext) -> str:
    """Path of the file with the n-grams of the evaluation texts; "" where there are none to avoid."""
    decontaminate = context.spec.data.prepare.decontaminate
    if decontaminate is None:
        return ""

    def texts() -> Iterator[str]:
        rules = Rules("auto", decontaminate.fields, context.spec.data.max_document_bytes)
        for index, files in enumerate(_against(context)):
            for location in files:
                file = OpenFile(location, rules, f"{_AGAINST}[{index}]", context.scratch)
                for record in file.records():
                    if isinstance(record, Bad):
                        raise record.error()
                    if isinstance(record, Record):
                        yield record.text

    hashes, short = known_ngrams(texts(), decontaminate.ngram)
    if not len(hashes):
        raise UserError(
            "no-ngrams",
            _AGAINST,
            f"None of the {short} evaluation texts has {decontaminate.ngram} words.",
            "Write a smaller spec.data.prepare.decontaminate.ngram, or other files.",
        )
    path = context.scratch / f"known-{context.fingerprint}.npy"
    np.save(path, hashes)
    return str(path)


def _result(context: StageContext, work: Sequence[_Part], tallies: Sequence[Tally]) -> StageResult:
    names = [source.name for source in context.spec.data.sources if source.documents]
    by_source = {name: Tally() for name in names}
    everything = Tally()
    for part, tally in zip(work, tallies, strict=True):
        by_source[part.source].add(tally)
        everything.add(tally)
    for index, source in enumerate(context.spec.data.sources):
        if source.documents and not by_source[source.name].documents:
            raise _everything_filtered(source.name, f"spec.data.sources[{index}]", by_source[source.name])
    removed = everything.removed.total()
    masked = everything.masked.total()
    return StageResult(
        flow=_flow(everything),
        sources={name: _flow(tally) for name, tally in by_source.items()},
        message=f"{everything.documents:,} of {counted(everything.documents_in, 'document')} kept, {removed:,} removed"
        + _foremost(everything)
        + (f", {counted(masked, 'item')} of personal information masked" if masked else ""),
        details={"sources": {name: tally.summary() for name, tally in by_source.items()}},
    )


def _foremost(tally: Tally) -> str:
    """The rule that removed most: the one to look at where too much went."""
    if not tally.removed:
        return ""
    rule, count = max(tally.removed.items(), key=lambda entry: (entry[1], entry[0]))
    return f" (most by {rule}: {count})"


def _everything_filtered(source: str, where: str, tally: Tally) -> UserError:
    rules = [f"{rule} {count}" for rule, count in tally.removed.most_common()]
    most = tally.removed.most_common(1)[0][0]
    field = "quality." + most if most.partition(".")[0] in _QUALITY else most
    return UserError(
        "everything-filtered",
        where,
        (
            f"{'The only document' if tally.documents_in == 1 else f'All {tally.documents_in:,} documents'} of {source!r} "
            f"{noun(tally.documents_in, 'was', 'were')} removed: {', '.join(rules)}."
        ),
        f"Loosen spec.data.prepare.{field}, or choose other documents.",
    )


_QUALITY = frozenset({"gopherQuality", "gopherRepetition", "c4", "fineweb"})


def _flow(tally: Tally) -> Flow:
    return Flow(
        documents_in=tally.documents_in,
        bytes_in=tally.bytes_in,
        documents_out=tally.documents,
        bytes_out=tally.bytes,
    )
