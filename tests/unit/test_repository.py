"""Promises about the repository itself."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "requirements.lock"


def names_in_lock() -> set[str]:
    return {line.split("==")[0] for line in LOCK.read_text().splitlines() if re.match(r"[a-z0-9]", line)}


class TestLayout:
    def test_operator_folder_does_not_shadow_the_standard_library(self) -> None:
        assert not (ROOT / "operator" / "__init__.py").exists()

    @pytest.mark.parametrize("package", ["api/pretrain_api", "operator/pretrain_operator", "trainer/pretrain_trainer"])
    def test_every_module_begins_with_its_door_sign(self, package: str) -> None:
        for module in (ROOT / package).rglob("*.py"):
            assert module.read_text().startswith('"""'), f"{module} does not say what lives there"


class TestLock:
    def test_names_no_package_index(self) -> None:
        assert "://" not in LOCK.read_text()

    def test_every_requirement_has_a_hash(self) -> None:
        requirements = re.split(r"\n(?=[a-z0-9])", LOCK.read_text().strip())
        assert len(requirements) > 100
        assert [r.splitlines()[0] for r in requirements if "--hash=sha256:" not in r] == []

    def test_holds_every_dependency_of_every_extra(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
        names = {re.split(r"[<>=\[; ]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
        assert names - names_in_lock() == set()
