"""The definition in a cluster beside this program's."""

import copy
from typing import Any

from pretrain_api import crd
from pretrain_cli.doctor.definitions import judged

ESTABLISHED = {"type": "Established", "status": "True", "message": ""}


def served(**condition: str) -> dict[str, Any]:
    """This program's definition as an API server shows it."""
    return {**copy.deepcopy(crd.definition()), "status": {"conditions": [{**ESTABLISHED, **condition}]}}


def spec_of(definition: dict[str, Any]) -> Any:
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


def test_the_same_is_well() -> None:
    assert judged(served()).level == "ok"


def test_none_says_how_to_install_it() -> None:
    finding = judged(None)
    assert finding.level == "failure"
    assert "kubectl apply --server-side -f manifests/crd.yaml" in finding.advice


def test_an_older_one_names_the_fields_that_it_lacks() -> None:
    older = served()
    del spec_of(older)["training"]["properties"]["seed"]
    finding = judged(older)
    assert (finding.level, "lacks spec.training.seed." in finding.message) == ("failure", True)


def test_a_newer_one_is_told_with_its_fields() -> None:
    newer = served()
    spec_of(newer)["training"]["properties"]["magic"] = {"type": "string"}
    finding = judged(newer)
    assert (finding.level, "has spec.training.magic besides" in finding.message) == ("warning", True)


def test_other_bounds_are_told() -> None:
    other = served()
    spec_of(other)["training"]["properties"]["seed"]["maximum"] = 7
    assert judged(other).level == "warning"


def test_one_that_is_not_served_says_why() -> None:
    finding = judged(served(status="False", message="the plural is taken"))
    assert (finding.level, "the plural is taken" in finding.message) == ("failure", True)


def test_one_without_our_version_is_to_be_updated() -> None:
    other = served()
    other["spec"]["versions"][0]["name"] = "v9"
    assert "does not serve v1alpha1" in judged(other).message
