"""Every code that a user can meet has a section in docs/reference/errors.md, and every section a code."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api/pretrain_api", "operator/pretrain_operator", "trainer/pretrain_trainer", "cli/pretrain_cli")
MAKERS = {
    **dict.fromkeys(("UserError", "ApiRefusal", "Problem", "Rule", "exactly_one", "ordered", "_BadOverride", "Bad"), 0),
    **dict.fromkeys(("problem", "fatal"), 1),
}
"""Functions that take a code, and which of their arguments it is."""
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


def codes_in(source: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and name_of(node.func) in MAKERS:
            position = MAKERS[name_of(node.func)]
            arguments = [*node.args[position : position + 1], *(k.value for k in node.keywords if k.arg == "code")]
            texts = {a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str)}
            found |= {text for text in texts if CODE.match(text)}
        if isinstance(node, ast.Assign) and [name_of(t) for t in node.targets] == ["CODE"]:
            assert isinstance(node.value, ast.Constant)
            found.add(str(node.value.value))
    return found


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def test_every_code_in_the_sources_has_a_section_and_every_section_a_code() -> None:
    used = {code for package in PACKAGES for source in (ROOT / package).rglob("*.py") for code in codes_in(source)}
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    explained = re.findall(r"^### `?([a-z0-9-]+)`?$", page, flags=re.MULTILINE)
    assert len(explained) == len(set(explained))
    assert sorted(used - set(explained)) == [], "codes without a section"
    assert sorted(set(explained) - used) == [], "sections without a code"
