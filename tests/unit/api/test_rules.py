"""Every rule of the table can be broken, and says so in the same words form."""

import re

from pretrain_api.explain import explain
from pretrain_api.rules import RULES
from pretrain_api.rules.unsupported import paths


def test_codes_are_kebab_case() -> None:
    for rule in RULES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.code)


def test_a_rule_in_cel_has_a_message_that_says_what_to_write() -> None:
    for rule in RULES:
        assert bool(rule.cel) == bool(rule.message), rule.code
        if rule.message:
            assert re.search(r"\b(Write|Raise|Lower|raise|lower)\b", rule.message), rule.code


def test_fields_that_are_not_supported_exist_and_are_marked() -> None:
    for path in paths():
        assert not explain(".".join(["spec", *map(str, path)])).supported
