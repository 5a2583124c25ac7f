"""Presets are whole transformers configurations with the sizes that they promise."""

import re

import pytest

from pretrain_api.errors import UserError
from pretrain_api.presets import PRESETS, config, parameters

SCALE = {"M": 1e6, "B": 1e9}


@pytest.mark.parametrize("name", PRESETS)
class TestPreset:
    def test_says_how_many_parameters_it_has(self, name: str) -> None:
        match = re.match(r"([\d.]+) ([MB]) parameters", PRESETS[name].summary)
        assert match
        promised = float(match.group(1)) * SCALE[match.group(2)]
        assert parameters(config(name)) == pytest.approx(promised, rel=0.02)

    def test_heads_have_64_or_128_dimensions(self, name: str) -> None:
        c = config(name)
        if "d_kv" in c:
            assert c["d_kv"] == 64
            return
        width, heads = c.get("hidden_size") or c["n_embd"], c.get("num_attention_heads") or c["n_head"]
        head = c.get("head_dim") or width // heads
        assert head in (64, 128)

    def test_leaves_the_vocabulary_to_the_tokenizer(self, name: str) -> None:
        assert "vocab_size" not in config(name)


def test_each_call_gives_a_dictionary_of_its_own() -> None:
    config("llama-tiny")["hidden_size"] = 1
    config("llama-tiny")["rope_parameters"]["rope_theta"] = 1
    assert config("llama-tiny")["hidden_size"] == 256
    assert config("llama-tiny")["rope_parameters"]["rope_theta"] == 1e4


def test_the_sizes_of_published_models_come_out() -> None:
    # GPT-2 small has 124,439,808 parameters with 50,257 tokens; Llama 3 8B 8,030,261,248 with 128,256;
    # Llama 3.2 1B 1,235,814,400 with 128,256.
    assert parameters(config("gpt2-small"), 50_257) == 124_439_808
    assert parameters(config("llama-8b"), 128_256) == 8_030_261_248
    assert parameters(config("llama-1b"), 128_256) == 1_235_814_400
    # T5 1.1 base has 247,577,856 with 32,128, of which a second matrix for the output is not in the preset; small 76,961,152.
    assert parameters(config("t5-base"), 2 * 32_128) == 247_577_856
    assert parameters(config("t5-small"), 2 * 32_128) == 76_961_152


def test_an_unknown_name_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(UserError, match=r"Write llama-1b\. \[preset-unknown\]"):
        config("lama-1b")
