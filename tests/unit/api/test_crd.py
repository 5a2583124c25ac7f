"""The CRD is a structural schema that follows Kubernetes' API conventions, and its rules are those of Python."""

from collections.abc import Iterator
from typing import Any

import pytest

from pretrain_api.crd import COLUMNS, definition
from pretrain_api.rules import RULES, immutable
from pretrain_api.schema import job_schema

FREE_FORM = {
    "spec.model.config": "any transformers configuration",
    "spec.workers.template.tolerations[]": "as in a pod; checked when the pod is created",
    "spec.workers.template.affinity": "as in a pod",
    "spec.workers.template.env[]": "as in a container",
    "spec.workers.template.volumes[]": "as in a pod",
    "spec.workers.template.volumeMounts[]": "as in a container",
}
ALLOWED_KEYS = {
    "type", "format", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength",
    "maxLength", "minItems", "maxItems", "maxProperties", "items", "properties", "additionalProperties", "required",
    "description", "default", "anyOf", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations",
}  # fmt: skip


def schema() -> dict[str, Any]:
    version = definition()["spec"]["versions"][0]
    result: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return result


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from nodes(node["additionalProperties"], f"{path}.*")


ALL = dict(nodes(schema()))


class TestStructure:
    def test_no_key_that_a_structural_schema_forbids(self) -> None:
        assert {key for node in ALL.values() for key in node} <= ALLOWED_KEYS

    def test_every_node_has_a_type_or_is_int_or_string(self) -> None:
        for path, node in ALL.items():
            assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string")), path

    def test_nothing_is_nullable_and_no_default_is_null(self) -> None:
        for path, node in ALL.items():
            assert not node.get("nullable"), path
            assert node.get("default", "") is not None, path

    def test_fields_and_map_values_are_not_mixed(self) -> None:
        for path, node in ALL.items():
            assert not ("properties" in node and "additionalProperties" in node), path

    def test_alternatives_appear_only_in_quantities(self) -> None:
        for path, node in ALL.items():
            assert ("anyOf" in node) == ("x-kubernetes-int-or-string" in node), path


class TestConventions:
    def test_every_text_is_bounded(self) -> None:
        bounds = {"maxLength", "enum"}
        texts = {path: node for path, node in ALL.items() if node.get("type") == "string"}
        unbounded = {
            path for path, node in texts.items() if not bounds & set(node) and node.get("format") != "date-time"
        }
        assert unbounded == {"apiVersion", "kind"}  # an API server owns these

    def test_every_list_and_map_is_bounded(self) -> None:
        for path, node in ALL.items():
            if node.get("type") == "array":
                assert "maxItems" in node, path
            if "additionalProperties" in node:
                assert "maxProperties" in node, path

    def test_free_form_objects_are_those_with_a_reason(self) -> None:
        assert {path for path, node in ALL.items() if node.get("x-kubernetes-preserve-unknown-fields")} == set(
            FREE_FORM
        )

    def test_every_object_has_fields_a_map_or_free_form_except_marks(self) -> None:
        for path, node in ALL.items():
            if node.get("type") == "object" and path != "metadata":
                kinds = {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"} & set(node)
                assert len(kinds) == 1, path

    def test_every_field_is_documented(self) -> None:
        fields = {p: n for p, n in ALL.items() if not p.endswith(("[]", ".*")) and not p.startswith("metadata")}
        assert [path for path, node in fields.items() if not node.get("description")] == []

    def test_lists_with_a_key_are_merged_by_it(self) -> None:
        keyed = {p: n["x-kubernetes-list-map-keys"] for p, n in ALL.items() if n.get("x-kubernetes-list-type") == "map"}
        assert keyed == {"spec.data.sources": ["name"], "status.conditions": ["type"], "status.stages": ["name"]}

    @pytest.mark.parametrize("unit", ["Seconds", "Bytes", "Ratio"])
    def test_a_unit_ends_a_name(self, unit: str) -> None:
        names = {path.rsplit(".", 1)[-1].removesuffix("[]") for path in ALL}
        named = {name for name in names if unit in name}
        assert named
        misplaced = {name for name in named if not name.removesuffix("s").endswith(unit.removesuffix("s"))}
        assert misplaced <= {"ttlSecondsAfterFinished"}  # the name that Kubernetes' Job gives it


class TestRules:
    def test_each_rule_in_cel_stands_at_its_object_with_code_and_advice(self) -> None:
        written = [v for node in ALL.values() for v in node.get("x-kubernetes-validations", [])]
        assert len(written) == sum(bool(rule.cel) for rule in (*RULES, *immutable.RULES))
        for validation in written:
            assert validation["message"].endswith("]")
            assert len(validation["message"]) <= 2048

    def test_the_field_that_a_rule_blames_exists(self) -> None:
        for path, node in ALL.items():
            for validation in node.get("x-kubernetes-validations", []):
                if "fieldPath" in validation:
                    assert f"{path}{validation['fieldPath']}".lstrip(".") in ALL

    def test_optional_fields_are_read_only_behind_has(self) -> None:
        # CEL fails on a field that is not there, so every optional field without a default needs has().
        for rule in RULES:
            for name, node in ALL[at(rule.at)]["properties"].items() if rule.cel else ():
                optional = "default" not in node and name not in ALL[at(rule.at)].get("required", [])
                if optional and f"self.{name}" in rule.cel:
                    assert f"has(self.{name})" in rule.cel, (rule.code, name)


def at(python_path: str) -> str:
    from pydantic.alias_generators import to_camel

    return ".".join(to_camel(part.removesuffix("[]")) + "[]" * part.endswith("[]") for part in python_path.split("."))


class TestNames:
    def test_columns_read_fields_that_exist(self) -> None:
        for _, kind, path, _ in COLUMNS:
            if not path.startswith(".metadata"):
                node = ALL[path.lstrip(".")]
                expected = "date" if node.get("format") == "date-time" else node["type"]
                assert kind == expected, path

    def test_the_narrow_columns_are_those_of_the_design(self) -> None:
        narrow = [name.upper() for name, _, _, priority in COLUMNS if priority == 0]
        assert narrow == ["STATE", "STEP", "LOSS", "THROUGHPUT", "WORKERS", "CHECKPOINT", "ETA", "AGE"]

    def test_the_schema_is_made_afresh_for_each_definition(self) -> None:
        before = str(job_schema())
        definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].clear()
        assert str(job_schema()) == before
