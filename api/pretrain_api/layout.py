"""Where things lie below `spec.storage.uri`, as relative paths. Both sides use these and write no path by hand."""

from pretrain_api.stages import Stage

RUN = "run.json"
"""The job as last accepted. Written by the body; read to tell what changed since."""
STATUS = "status.json"
"""The job with its recorded status. Written by the local body; read by `pretrain status`."""
LOGS = "logs"
"""Logs of the stage programs, one file per stage, where the storage is a local folder."""
SCRATCH = ".scratch"
"""Where the storage is a local folder: what a stage needs while it works. Removed at its end, or at its next start."""
LOCAL = ".local"
"""Where the storage is a local folder: lock, process list and event files of `pretrain run`. Safe to remove when none runs."""
EVENTS = "events.jsonl"
"""In the folder of an attempt below LOCAL: the progress lines of its program."""
ATTEMPTS = "attempts"
"""Working time of stages that are not complete."""
COMMIT_LOG = "checkpoints/log"
CHECKPOINT_DATA = "checkpoints/data"
CHECKPOINT_HISTORY = "checkpoints/history"
"""Figures of each step, in one file per commit."""
QUARANTINE = "quarantine"
"""Records of shards that were damaged and that training went on without, one file for each below the fingerprint of
Train. Written by training; read by people and by the audit."""
REPORT_JSON = "report/report.json"
REPORT_HTML = "report/index.html"
EVALUATION = "evaluation"
EXPORT = "export"
EXPORT_HUGGING_FACE = "export/huggingface"
MANIFEST = "manifest.json"


def record(stage: Stage, fingerprint: str) -> str:
    """The completion record of a stage."""
    return f"stages/{stage.value.lower()}/{fingerprint}.json"


def attempts(stage: Stage, fingerprint: str) -> str:
    """The working time of a stage that is not complete. Written and read by its program; removed at its completion."""
    return f"{ATTEMPTS}/{stage.value.lower()}/{fingerprint}.json"


def all_documents(fingerprint: str) -> str:
    """The documents of all sources that one Collect or Prepare made."""
    return f"documents/{fingerprint}"


def documents(fingerprint: str, source: str) -> str:
    """Parts of a source as Collect or Prepare left them, `000000.parquet` and on."""
    return f"{all_documents(fingerprint)}/{source}"


def tokenizer(fingerprint: str) -> str:
    """The tokenizer's Hugging Face folder."""
    return f"tokenizer/{fingerprint}"


def all_shards(fingerprint: str) -> str:
    """The shards of all sources that one Encode made."""
    return f"shards/{fingerprint}"


def shards(fingerprint: str, source: str) -> str:
    """A source's shards: `000000.tar`, `000000.idx` and on, `manifest.json`, and the same below `validation/`."""
    return f"{all_shards(fingerprint)}/{source}"


def ledger_order(fingerprint: str) -> str:
    """What decides the order of a training's samples, beside its history."""
    return f"{CHECKPOINT_HISTORY}/{fingerprint}/order.json"


def commit(sequence: int) -> str:
    """A slot of the commit log."""
    return f"{COMMIT_LOG}/{sequence:012d}.json"
