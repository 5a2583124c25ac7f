import pytest

from pretrain_api.errors import UserError
from pretrain_api.types.data import DocumentFields, Source
from pretrain_trainer.documents import licenses


def a_source(license: str = "", field: str = "") -> Source:
    return Source(name="web", documents="/a", license=license, fields=DocumentFields(license=field))


def test_without_a_list_everything_is_allowed() -> None:
    licenses.check_source(a_source("GPL-3.0"), [], "spec.x")
    assert licenses.refused("GPL-3.0", "", []) == ""


@pytest.mark.parametrize("source", [a_source("GPL-3.0"), a_source(), a_source("GPL-3.0", "license")])
def test_a_source_that_is_not_allowed_is_refused_by_name(source: Source) -> None:
    with pytest.raises(UserError, match="'web'") as error:
        licenses.check_source(source, ["MIT"], "spec.data.sources[3]")
    assert error.value.where == "spec.data.sources[3].license"


def test_a_source_whose_documents_state_their_licence_is_judged_by_them() -> None:
    licenses.check_source(a_source(field="license"), ["MIT"], "spec.x")
    assert licenses.refused("MIT", "", ["MIT"]) == ""
    assert licenses.refused("", "MIT", ["MIT"]) == ""
    assert licenses.refused("GPL-3.0", "MIT", ["MIT"]) == "GPL-3.0"
    assert licenses.refused("", "", ["MIT"]) == licenses.NONE_STATED
