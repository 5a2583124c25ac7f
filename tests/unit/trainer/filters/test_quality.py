from pretrain_api.types.data import C4Quality, GopherQuality, Quality
from pretrain_trainer.filters import quality


def test_presets_stand_for_the_published_pipelines() -> None:
    fineweb = quality.rules(Quality())
    assert None not in (fineweb.gopher_quality, fineweb.gopher_repetition, fineweb.fineweb)
    assert fineweb.c4 == C4Quality(terminal_punctuation="ignored")
    gopher = quality.rules(Quality(preset="gopher"))
    assert None not in (gopher.gopher_quality, gopher.gopher_repetition)
    assert gopher.c4 is None
    assert gopher.fineweb is None
    assert quality.rules(Quality(preset="c4")) == quality.Rules(None, None, C4Quality(), None)
    assert quality.rules(Quality(preset="custom")) == quality.Rules(None, None, None, None)


def test_a_filter_written_beside_the_preset_replaces_its_thresholds() -> None:
    written = GopherQuality(min_words=5)
    assert quality.rules(Quality(gopher_quality=written)).gopher_quality == written
    assert quality.rules(Quality(preset="custom", gopher_quality=written)) == quality.Rules(written, None, None, None)


def test_later_filters_see_the_text_that_earlier_ones_left() -> None:
    lines = [f"Sentence number {n} of the document stands here in its place." for n in "abcdef"]
    text = "\n".join([*lines, "one two"])
    verdict = quality.judge(text, quality.Rules(None, None, C4Quality(), None))
    assert verdict.rule is None
    assert verdict.text == "\n".join(lines)
    assert len(verdict.words) == 6 * 12


def test_the_first_rule_that_refuses_is_the_one_that_counts() -> None:
    assert quality.judge("short {", quality.rules(Quality())).rule == "gopherQuality.minWords"
    assert quality.judge("short {", quality.rules(Quality(preset="c4"))).rule == "c4.minSentences"
