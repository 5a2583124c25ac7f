"""The stages of the pipeline: names, identity (fingerprint) and completion record.

A stage's identity is a hash of its settings and of what its upstream stages made. Its last act is to write its
completion record; whoever comes later with the same identity finds the record and skips the work.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from pretrain_api import objectives
from pretrain_api.once import once_per_object
from pretrain_api.types.job import PretrainJobSpec


class Stage(StrEnum):
    """A stage, in the order in which they run."""

    COLLECT = "Collect"
    PREPARE = "Prepare"
    TOKENIZER = "Tokenizer"
    ENCODE = "Encode"
    TRAIN = "Train"
    EVALUATE = "Evaluate"
    EXPORT = "Export"
    REPORT = "Report"


UPSTREAM: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.COLLECT: (),
    Stage.PREPARE: (Stage.COLLECT,),
    Stage.TOKENIZER: (Stage.PREPARE,),
    Stage.ENCODE: (Stage.PREPARE, Stage.TOKENIZER),
    Stage.TRAIN: (Stage.TOKENIZER, Stage.ENCODE),
    Stage.EVALUATE: (Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE, Stage.TRAIN),
    Stage.EXPORT: (Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE, Stage.TRAIN, Stage.EVALUATE),
    Stage.REPORT: (
        Stage.COLLECT,
        Stage.PREPARE,
        Stage.TOKENIZER,
        Stage.ENCODE,
        Stage.TRAIN,
        Stage.EVALUATE,
        Stage.EXPORT,
    ),
}
"""The stages whose results a stage reads, in a job that has them all. A stage's identity contains theirs."""

_OF_DOCUMENTS = (Stage.COLLECT, Stage.PREPARE)


@once_per_object
def planned(spec: PretrainJobSpec) -> tuple[Stage, ...]:
    """The stages of a job, in order. One whose sources are all ready shards has no documents to collect or prepare, and one
    of images alone no tokenizer."""
    left_out = () if any(source.documents for source in spec.data.sources) else _OF_DOCUMENTS
    return tuple(s for s in Stage if s not in left_out and (s is not Stage.TOKENIZER or spec.tokenizer is not None))


def upstream_of(stage: Stage, spec: PretrainJobSpec) -> tuple[Stage, ...]:
    """The stages of this job whose results `stage` reads."""
    stages = planned(spec)
    return tuple(upstream for upstream in UPSTREAM[stage] if upstream in stages)


@dataclass(frozen=True)
class Phase:
    """A part of a stage's work that the pods of one Job carry out."""

    name: str
    indexed: bool
    """Any number of pods share it by index: item i is the business of pod i mod N. Else one pod does all of it."""


FINISH = Phase("finish", indexed=False)
"""The last phase of every stage: the whole stage program. It does what is still missing, brings everything together and
writes the completion record. Alone it makes the same bytes as after any other phases."""

PHASES: Mapping[Stage, tuple[Phase, ...]] = {
    Stage.COLLECT: (Phase("collect", indexed=True), FINISH),
    Stage.PREPARE: (
        Phase("filter", indexed=True),
        Phase("deduplicate", indexed=False),
        Phase("write", indexed=True),
        FINISH,
    ),
    Stage.TOKENIZER: (FINISH,),
    Stage.ENCODE: (Phase("encode", indexed=True), Phase("pack", indexed=True), FINISH),
    Stage.TRAIN: (FINISH,),
    Stage.EVALUATE: (Phase("measure", indexed=True), FINISH),
    Stage.EXPORT: (FINISH,),
    Stage.REPORT: (FINISH,),
}
"""The phases of each stage, in order; each needs those before it complete. Those before `finish` only save time: what
they make is named by its content, so that a repeated or a second pod of the same index does no harm."""

VERSION: Mapping[Stage, int] = dict.fromkeys(Stage, 1)
"""Raised when a stage's program makes other bytes from the same inputs."""


def settings(stage: Stage, spec: PretrainJobSpec) -> dict[str, Any]:
    """The part of the spec that decides what a stage makes. What only decides how fast is left out.

    It is worked out once for a spec and given out again: not to be changed by whoever gets it."""
    return _settings(spec)[stage]


@once_per_object
def _settings(spec: PretrainJobSpec) -> Mapping[Stage, dict[str, Any]]:
    full = spec.model_dump(mode="json", by_alias=True)
    data, sources = full["data"], full["data"]["sources"]
    # Weights may change while training goes on; what a stage made, and which run it is, follows from those at the start.
    weights = {source.name: source.weight_at_start for source in spec.data.sources}
    return {
        Stage.COLLECT: {
            "sources": [{k: s[k] for k in ("name", "documents", "format", "fields", "license")} for s in sources],
            **{k: data[k] for k in ("allowedLicenses", "maxDocumentBytes", "maxBadDocuments")},
        },
        Stage.PREPARE: {k: v for k, v in data["prepare"].items() if k != "parallelism"},
        Stage.TOKENIZER: {
            **(full["tokenizer"] or {}),
            "weights": weights if full["tokenizer"] and full["tokenizer"]["train"] else {},
            "validation": data["validation"],
            **({"specialTokens": special} if (special := objectives.special_tokens(spec)) else {}),
            **(_captioned(spec) if spec.tokenizer and spec.tokenizer.train else {}),
        },
        Stage.ENCODE: {
            "validation": data["validation"],
            **_encoded(spec),
            **({"shards": shards} if (shards := {s["name"]: s["shards"] for s in sources if s["shards"]}) else {}),
        },
        Stage.TRAIN: {
            "model": full["model"],
            "objective": full["objective"],
            "training": full["training"],
            "mixture": [
                {"name": s["name"], "weight": weights[s["name"]], "maxEpochs": s["maxEpochs"]} for s in sources
            ],
        },
        Stage.EVALUATE: {
            "prompts": full["evaluation"]["prompts"],
            **{name: full["evaluation"][name] for name in ("labels", "promptTemplates") if full["evaluation"][name]},
        },
        Stage.EXPORT: {"export": full["export"], "licenses": {s["name"]: s["license"] for s in sources}},
        Stage.REPORT: {},
    }


def _encoded(spec: PretrainJobSpec) -> dict[str, Any]:
    """Settings of Encode that only some kinds of samples have."""
    if objectives.learns_text(spec):
        return {"sequenceLength": spec.training.sequence_length}
    return {"images": True, **_captioned(spec)}


def _captioned(spec: PretrainJobSpec) -> dict[str, Any]:
    """Where captions stand, in a job that reads such."""
    if objectives.learns_text(spec) or not objectives.reads_text(spec):
        return {}
    return {"captions": {source.name: source.fields.text for source in spec.data.sources}}


def fingerprint(stage: Stage, spec: PretrainJobSpec, upstream: Mapping[Stage, str], inputs: str = "") -> str:
    """Identity of a stage: 16 hex digits over its settings, its upstream's identities and its outside inputs.

    `inputs` is a digest of what only the stage itself can see: Collect's list of files with sizes and versions,
    the content of a given tokenizer folder. Raises KeyError when an upstream identity is missing.
    """
    material = {
        "stage": stage.value,
        "version": VERSION[stage],
        "settings": settings(stage, spec),
        "upstream": {u.value: upstream[u] for u in upstream_of(stage, spec)},
        "inputs": inputs,
    }
    text = json.dumps(material, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Flow(BaseModel):
    """Documents and bytes of text that went through a stage, or through one source of it."""

    model_config = ConfigDict(frozen=True)

    documents_in: int = 0
    bytes_in: int = 0
    documents_out: int = 0
    bytes_out: int = 0

    @classmethod
    def total(cls, flows: Iterable["Flow"]) -> "Flow":
        """All of them together."""
        counted = list(flows)
        return cls(**{name: sum(getattr(flow, name) for flow in counted) for name in cls.model_fields})


NO_FLOW = Flow()
"""Of a stage that is not about documents, or not complete."""


class CompletionRecord(BaseModel):
    """`stages/<stage>/<fingerprint>.json`: written by a stage program as its last act; read by everyone.

    `details` is the stage's own summary (counts by rule, figures of the evaluation ...), shown in the report.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    stage: Stage
    fingerprint: str
    upstream: dict[Stage, str]
    started: datetime
    """When the first attempt began."""
    completed: datetime
    seconds: float
    """Of work, over all attempts."""
    attempts: int = 1
    flow: Flow = Flow()
    sources: dict[str, Flow] = {}
    message: str = ""
    details: dict[str, Any] = {}
