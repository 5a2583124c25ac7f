"""Our rules against datatrove's on the same real text: equal when both split words alike, close with spaCy's words."""

import pydoc_data.topics
from collections.abc import Callable
from itertools import islice
from types import ModuleType
from typing import Any

import pytest
from support.corpora import texts

from pretrain_api.types.data import C4Quality, FineWebQuality, GopherQuality, GopherRepetition
from pretrain_trainer.filters import c4, fineweb, gopher, words
from pretrain_trainer.filters.words import Words

datatrove = pytest.importorskip("datatrove", reason="the extra benchmarks is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # what datatrove and spaCy warn of is not ours

Rule = Callable[[str], str | None]


def real_texts() -> list[str]:
    """Program code, and the manual: whole topics and the prose in them, repeated in parts."""
    manual = list(pydoc_data.topics.topics.values())
    chunks = [topic[start : start + 3000] for topic in manual for start in range(0, len(topic), 9000)]
    prose = ["\n".join(line for line in chunk.split("\n") if line[:1].isalpha()) for chunk in chunks]
    lists = ["\n".join(f"- {line.strip()}..." for line in chunk.split("\n")[:30]) for chunk in chunks[:20]]
    repeated = [text + "\n" + text[: len(text) // 3] for text in prose[::3]]
    return [text for text in (*islice(texts(1), 40), *chunks, *prose, *lists, *repeated) if text.strip()]


def filters() -> list[tuple[str, Any, Rule]]:
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    ignored = C4Quality(terminal_punctuation="ignored")
    return [
        ("gopherQuality", GopherQualityFilter(), lambda t: gopher.quality(t, Words(t), GopherQuality())),
        ("gopherRepetition", GopherRepetitionFilter(), lambda t: gopher.repetition(t, Words(t), GopherRepetition())),
        ("c4", C4QualityFilter(), lambda t: c4.apply(t, C4Quality())[1]),
        ("c4 of FineWeb", C4QualityFilter(filter_no_terminal_punct=False), lambda t: c4.apply(t, ignored)[1]),
        ("fineweb", FineWebQualityFilter(), lambda t: fineweb.quality(t, Words(t), FineWebQuality())),
    ]


def passes(theirs: Any, text: str) -> tuple[bool, str]:
    """datatrove's verdict, and the text as it leaves it."""
    from datatrove.data import Document

    document = Document(text=text, id="")
    return theirs.filter(document) is True, document.text


@pytest.fixture
def shared_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """datatrove's filters with our splitting of words and sentences."""
    from datatrove.pipeline.filters import c4_filters, fineweb_quality_filter, gopher_quality_filter
    from datatrove.pipeline.filters import gopher_repetition_filter as repetition

    def split(text: str, language: str) -> list[str]:
        found: list[str] = words._TOKEN.findall(text)
        return found

    modules: tuple[ModuleType, ...] = (fineweb_quality_filter, gopher_quality_filter, repetition)
    for module in modules:
        monkeypatch.setattr(module, "split_into_words", split)
    monkeypatch.setattr(c4_filters, "split_into_sentences", lambda text, language: [""] * c4.sentences(text))


@pytest.mark.parametrize("index", range(5))
def test_with_the_same_words_every_verdict_is_the_same(shared_words: None, index: int) -> None:
    name, theirs, ours = filters()[index]
    corpus = real_texts()
    verdicts = [(passes(theirs, text)[0], ours(text) is None) for text in corpus]
    assert len({their for their, _ in verdicts}) == 2, f"{name} decides nothing on this corpus"
    assert [text for text, (their, our) in zip(corpus, verdicts, strict=True) if their != our] == []


def test_c4_leaves_the_same_lines(shared_words: None) -> None:
    theirs = filters()[2][1]
    for text in real_texts():
        kept, left = passes(theirs, text)
        if kept:
            assert c4.apply(text, C4Quality())[0] == left


@pytest.mark.slow
def test_with_spacys_words_prose_is_judged_the_same() -> None:
    """On the manual's prose: at least 19 of 20 verdicts of each filter."""
    corpus = [text for text in real_texts() if sum(map(str.isalpha, text)) > 0.75 * len(text)][:20]
    for name, theirs, ours in filters():
        same = sum(passes(theirs, text)[0] == (ours(text) is None) for text in corpus)
        assert same >= 0.95 * len(corpus), f"{name}: {same} of {len(corpus)}"
