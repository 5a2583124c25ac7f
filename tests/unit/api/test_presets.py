"""Presets are whole transformers configurations."""

import pytest

from pretrain_api.errors import UserError
from pretrain_api.presets import PRESETS, config


@pytest.mark.parametrize("name", PRESETS)
class TestPreset:
    def test_heads_have_64_or_128_dimensions(self, name: str) -> None:
        whole = config(name)
        for part in ("", "vision_config", "text_config", "decoder"):
            c = whole.get(part, whole)
            prefix = "decoder_" if part == "decoder" else ""
            width = c.get(f"{prefix}hidden_size") or c.get("n_embd")
            heads = c.get(f"{prefix}num_attention_heads") or c.get("n_head")
            if "d_kv" in c:
                assert c["d_kv"] == 64
            elif width and heads:
                assert (c.get("head_dim") or width // heads) in (64, 128)

    def test_leaves_the_vocabulary_to_the_tokenizer(self, name: str) -> None:
        assert "vocab_size" not in config(name)


def test_each_call_gives_a_dictionary_of_its_own() -> None:
    config("llama-tiny")["hidden_size"] = 1
    config("llama-tiny")["rope_parameters"]["rope_theta"] = 1
    assert config("llama-tiny")["hidden_size"] == 256
    assert config("llama-tiny")["rope_parameters"]["rope_theta"] == 1e4


def test_an_unknown_name_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(UserError, match=r"Write llama-1b\. \[preset-unknown\]"):
        config("lama-1b")
