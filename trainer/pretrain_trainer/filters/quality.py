"""The quality presets: which rules apply with which thresholds, and their application in order."""

from __future__ import annotations

from dataclasses import dataclass

from pretrain_api.types.data import C4Quality, FineWebQuality, GopherQuality, GopherRepetition, Quality
from pretrain_trainer.filters import c4, fineweb, gopher
from pretrain_trainer.filters.words import Words


@dataclass(frozen=True)
class Rules:
    """The filters that apply, in this order; None: not applied."""

    gopher_quality: GopherQuality | None
    gopher_repetition: GopherRepetition | None
    c4: C4Quality | None
    fineweb: FineWebQuality | None


def rules(quality: Quality) -> Rules:
    """What a preset stands for, with what is written beside it in its place."""
    fineweb_preset, gopher_preset = quality.preset == "fineweb", quality.preset in ("fineweb", "gopher")
    default_c4 = {
        "fineweb": C4Quality(terminal_punctuation="ignored"),
        "c4": C4Quality(),
    }.get(quality.preset)
    return Rules(
        quality.gopher_quality or (GopherQuality() if gopher_preset else None),
        quality.gopher_repetition or (GopherRepetition() if gopher_preset else None),
        quality.c4 or default_c4,
        quality.fineweb or (FineWebQuality() if fineweb_preset else None),
    )


@dataclass(frozen=True)
class Verdict:
    """What the rules say: the rule that refuses (None: it passes), the text as rewritten, and its words."""

    rule: str | None
    text: str
    words: Words


def judge(text: str, applied: Rules) -> Verdict:
    """Apply the filters until one refuses."""
    words = Words(text)
    rule = (applied.gopher_quality and gopher.quality(text, words, applied.gopher_quality)) or (
        applied.gopher_repetition and gopher.repetition(text, words, applied.gopher_repetition)
    )
    if not rule and applied.c4:
        rewritten, rule = c4.apply(text, applied.c4)
        if rewritten != text:
            text, words = rewritten, Words(rewritten)
    if not rule and applied.fineweb:
        rule = fineweb.quality(text, words, applied.fineweb)
    return Verdict(rule or None, text, words)
