"""What cannot change once training began, as CEL transition rules of the CRD.

`pretrain_api.changes` answers the same question for `pretrain run`. CEL cannot look into `model.config`; the operator
compares it.
"""

from pretrain_api.rules.base import Rule

CODE = "immutable"

_NOT_BEGUN = "!has(oldSelf.status) || !has(oldSelf.status.progress) || oldSelf.status.progress.step == 0"
_SOURCE_TEXTS = ("name", "documents", "shards", "format", "license")
_FILTERS = ("language", "quality", "deduplicate", "pii", "decontaminate")


def _unchanged(path: str, expression: str) -> Rule:
    message = f"{path} cannot change once training began. Make a job with another name and storage.uri."
    return Rule(CODE, "", lambda spec: (), cel=f"{_NOT_BEGUN} || ({expression})", message=message, field=path)


def _same(path: str) -> str:
    return f"self.{path} == oldSelf.{path}"


def _same_optional(parent: str, name: str) -> str:
    """CEL's == fails on a field that is not written."""
    here, before = f"{parent}.{name}", f"oldSelf.{parent}.{name}"
    return f"has(self.{here}) == has({before}) && (!has(self.{here}) || self.{here} == {before})"


def _same_sources() -> str:
    """All of each source but its weights. CEL has no way to leave fields out, so those that stay are named."""
    texts = [f"has(s.{name}) ? s.{name} : ''" for name in _SOURCE_TEXTS]
    texts += [f"has(s.fields.{name}) ? s.fields.{name} : ''" for name in ("text", "license")]
    texts.append("has(s.maxEpochs) ? string(s.maxEpochs) : ''")
    shape = f"spec.data.sources.map(s, [{', '.join(texts)}])"
    return f"self.{shape} == oldSelf.{shape}"


RULES = (
    _unchanged("spec.storage.uri", _same("spec.storage.uri")),
    _unchanged("spec.data.sources", _same_sources()),
    *(_unchanged(f"spec.data.{name}", _same(f"spec.data.{name}")) for name in ("maxDocumentBytes", "maxBadDocuments")),
    _unchanged("spec.data.allowedLicenses", _same_optional("spec.data", "allowedLicenses")),
    _unchanged("spec.data.validation", _same("spec.data.validation")),
    *(_unchanged(f"spec.data.prepare.{name}", _same_optional("spec.data.prepare", name)) for name in _FILTERS),
    *(_unchanged(f"spec.{name}", _same(f"spec.{name}")) for name in ("tokenizer", "model", "objective", "training")),
)
