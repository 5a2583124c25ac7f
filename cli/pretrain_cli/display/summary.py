"""What a job came to: its stages, the loss, the evaluation, where the results lie."""

from collections.abc import Iterator
from typing import Any

from pretrain_api import layout, records
from pretrain_api.nouns import counted
from pretrain_api.stages import CompletionRecord, Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.display import image_table
from pretrain_cli.display.wording import duration


def lines(status: PretrainJobStatus, storage: Storage) -> Iterator[str]:
    """The summary, line by line. Reads the completion records of the stages that are complete."""
    found = {}
    for stage in status.stages:
        if stage.state == "Complete" and stage.fingerprint:
            record = _record(storage, Stage(stage.name), stage.fingerprint)
            skipped = " (done before)" if stage.message.startswith("skipped") else ""
            if record:
                found[Stage(stage.name)] = record
                tries = f" ({record.attempts} attempts)" if record.attempts > 1 else ""
                yield f"{stage.name:<10} {duration(record.seconds):>9}  {record.message}{tries}{skipped}".rstrip()
    if train := found.get(Stage.TRAIN):
        loss, steps = train.details.get("finalLoss"), counted(train.details.get("step", 0), "step")
        yield ""
        yield f"final loss {loss:.4f} after {steps}" if loss is not None else "trained"
    if evaluation := found.get(Stage.EVALUATE):
        by_source = evaluation.details.get("bySource", {})
        of_images = any("images" in figures for figures in by_source.values())
        yield from image_table.lines(by_source) if of_images else _evaluation(by_source)
    if Stage.EXPORT in found and storage.exists(layout.EXPORT_HUGGING_FACE):
        yield f"model      {_place(storage, layout.EXPORT_HUGGING_FACE)}"
    if Stage.REPORT in found:
        yield f"report     {_place(storage, layout.REPORT_HTML)}"


def _record(storage: Storage, stage: Stage, fingerprint: str) -> CompletionRecord | None:
    try:
        return records.read(storage, stage, fingerprint)
    except FileNotFoundError:
        return None


def _place(storage: Storage, relative: str) -> str:
    return storage.path(relative) if storage.is_local else storage.uri(relative)


_BASELINES = {"byte5gram": "5-gram", "unigramLoss": "1-gram loss", "unigramAccuracy": "1-gram acc."}


def _evaluation(by_source: dict[str, Any]) -> Iterator[str]:
    """A table of validation loss and bits per byte by source, beside the baselines on the same text."""
    if not by_source:
        return
    baselines = sorted({name for figures in by_source.values() for name in figures.get("baselines", {})})
    yield ""
    measured = "accuracy" if any("accuracy" in figures for figures in by_source.values()) else "bitsPerByte"
    title = {"accuracy": "accuracy", "bitsPerByte": "bits/byte"}[measured]
    has_prefixes = any("lossWithoutPrefix" in figures for figures in by_source.values())
    columns = ["loss", "perplexity", *(["lossWithoutPrefix"] if has_prefixes else []), measured]
    titles = [{measured: title, "lossWithoutPrefix": "loss, plain"}.get(column, column) for column in columns]
    yield _row(["source", *titles, *(_BASELINES.get(name, name) for name in baselines)])
    for name, figures in by_source.items():
        cells = [figures.get(column) for column in columns]
        cells += [figures.get("baselines", {}).get(baseline) for baseline in baselines]
        yield _row([name, *("-" if cell is None else f"{cell:.3f}" for cell in cells)])
    if has_prefixes:
        yield "Loss and perplexity: behind random prefixes. Plain loss and bits/byte: without any, from left to right."
    yield ""


def _row(cells: list[str]) -> str:
    return f"{cells[0]:<16}" + "".join(f"{cell:>12}" for cell in cells[1:])
