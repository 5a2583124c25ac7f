"""Findings as text, JSON or YAML. Pure."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from pretrain_api.findings import Finding, Level
from pretrain_api.nouns import counted

_SIGNS: dict[Level, tuple[str, str]] = {
    "ok": ("ok", "32"),
    "warning": ("warning", "33"),
    "failure": ("failure", "31"),
    "skipped": ("skipped", "2"),
}
"""The word, and its ANSI colour."""
_WIDTH = 116


def lines(findings: Sequence[Finding], colour: bool) -> Iterator[str]:
    """A section for each area, and a sum at the end."""
    for area, group in groupby(findings, key=lambda finding: finding.area):
        yield area
        for finding in group:
            word, code = _SIGNS[finding.level]
            sign = f"\x1b[{code}m{word:<8}\x1b[0m" if colour else f"{word:<8}"
            first, *rest = textwrap.wrap(finding.message, _WIDTH - 32, break_long_words=False) or [""]
            yield f"  {sign} {finding.check:<19} {first}"
            behind = " " * 31
            yield from (behind + line for line in rest)
            advice = textwrap.wrap(finding.advice, _WIDTH - 32, break_long_words=False, break_on_hyphens=False)
            yield from (behind + line for line in advice)
        yield ""
    yield summed(findings)


def summed(findings: Sequence[Finding]) -> str:
    """2 failures, 1 warning."""
    counts = Counter(finding.level for finding in findings)
    told = [counted(counts[level], level) for level in ("failure", "warning") if counts[level]]
    skipped = [f"{counts['skipped']} could not be looked at"] if counts["skipped"] else []
    return ", ".join([*told, *skipped] or ["all well"])


def document(findings: Sequence[Finding]) -> dict[str, object]:
    """For programs."""
    return {"version": 1, "findings": [asdict(finding) for finding in findings]}
