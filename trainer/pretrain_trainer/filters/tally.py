"""Counts of what the filters did: documents and bytes in and out, by rule, with examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

EXAMPLES_PER_RULE = 3
EXAMPLE_CHARACTERS = 200


@dataclass
class Tally:
    """Counts of a part or of a source. Bytes are UTF-8 bytes of text as it came in; `bytes` as it went out.

    `removed` and `removed_bytes` are by rule, `masked` by kind, `languages` the removed documents by language;
    `examples` are {rule, id, text}, the first few of each rule.
    """

    documents_in: int = 0
    bytes_in: int = 0
    documents: int = 0
    bytes: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    removed_bytes: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Tally:
        """From `vars` of another one that went through JSON."""
        counters = {name: Counter(values[name]) for name in ("removed", "removed_bytes", "masked", "languages")}
        return cls(**{**values, **counters})

    def remove(self, rule: str, id: str, text: str, size: int) -> None:
        """Count a removed document."""
        self.removed[rule] += 1
        self.removed_bytes[rule] += size
        self._exemplify({"rule": rule, "id": id, "text": text[:EXAMPLE_CHARACTERS]})

    def _exemplify(self, example: dict[str, str]) -> None:
        if sum(other["rule"] == example["rule"] for other in self.examples) < EXAMPLES_PER_RULE:
            self.examples.append(example)

    def add(self, other: Tally) -> None:
        """Take in the counts of a later part."""
        self.documents_in += other.documents_in
        self.bytes_in += other.bytes_in
        self.documents += other.documents
        self.bytes += other.bytes
        for mine, theirs in (
            (self.removed, other.removed),
            (self.removed_bytes, other.removed_bytes),
            (self.masked, other.masked),
            (self.languages, other.languages),
        ):
            mine.update(theirs)
        for example in other.examples:
            self._exemplify(example)

    def summary(self) -> dict[str, Any]:
        """As it stands in the completion record."""
        return {
            "documentsIn": self.documents_in,
            "bytesIn": self.bytes_in,
            "documents": self.documents,
            "bytes": self.bytes,
            "removed": {
                rule: {"documents": count, "bytes": self.removed_bytes[rule]}
                for rule, count in self.removed.most_common()
            },
            "masked": dict(self.masked.most_common()),
            "removedLanguages": dict(self.languages.most_common(20)),
            "examples": self.examples,
        }
