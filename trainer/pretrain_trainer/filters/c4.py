"""C4's rules (Raffel et al. 2020, arXiv:1910.10683, section 2.2), in the order of its reference code.

They drop lines first and judge the document by what is left. Text in, text and rule out.
"""

from __future__ import annotations

import re

from pretrain_api.types.data import C4Quality

_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_SENTENCE_END = re.compile(r"[.!?。！？…]+[\"'”’)\]]*(?=\s|$)|[。！？]")
_TERMINAL = (".", "?", "!", '"', "'")
_POLICY = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


def apply(text: str, rules: C4Quality) -> tuple[str, str | None]:
    """The lines that are kept, and the rule that refuses the document (None when it passes)."""
    lower = text.lower()
    has_javascript = rules.javascript == "refused" and "javascript" in lower
    has_policy = rules.policy == "refused" and any(phrase in lower for phrase in _POLICY)
    has_lorem_ipsum = rules.lorem_ipsum == "refused" and "lorem ipsum" in lower
    has_bracket = rules.curly_bracket == "refused" and "{" in text
    has_citation = "[" in text
    kept: list[str] = []
    sentence_count = 0
    for line in text.splitlines():
        line = line.strip()
        words = line.split()
        if 0 < rules.max_word_length < len(line) and any(len(word) > rules.max_word_length for word in words):
            continue
        if has_citation:
            line = _CITATION.sub("", line)
        if rules.terminal_punctuation == "required" and (not line.endswith(_TERMINAL) or line.endswith("...")):
            continue
        if len(words) < rules.min_words_per_line:
            continue
        if has_lorem_ipsum and "lorem ipsum" in line.lower():
            return text, "c4.loremIpsum"
        if has_javascript and "javascript" in line.lower():
            continue
        if has_bracket and "{" in line:
            return text, "c4.curlyBracket"
        if has_policy and any(phrase in line.lower() for phrase in _POLICY):
            continue
        if sentence_count < rules.min_sentences:
            sentence_count += sentences(line)
        kept.append(line)
    if sentence_count < rules.min_sentences:
        return text, "c4.minSentences"
    result = "\n".join(kept).strip()
    return (result, None) if result else (text, "c4.minSentences")


def sentences(line: str) -> int:
    """Sentences in a line: those that end with punctuation, and what stands behind the last of them."""
    count, end = 0, 0
    for match in _SENTENCE_END.finditer(line):
        count, end = count + 1, match.end()
    return count + (1 if line[end:].strip() else 0)
