"""Promises about the repository itself."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "requirements.lock"
IMAGE_LOCKS = [ROOT / "requirements-operator.lock", ROOT / "requirements-trainer.lock"]


def names_in_lock() -> set[str]:
    return {line.split("==")[0] for line in LOCK.read_text().splitlines() if re.match(r"[a-z0-9]", line)}


def pins(lock: Path) -> dict[str, set[str]]:
    """name==version -> its hashes."""
    requirements = re.split(r"\n(?=[a-z0-9])", lock.read_text().strip())
    return {r.split(" ")[0]: set(re.findall(r"sha256:[0-9a-f]{64}", r)) for r in requirements}


def needed(requirements: list[str]) -> set[str]:
    """Names of all packages that they come to on this Python, as the installed packages say."""
    found: set[str] = set()
    todo = [Requirement(each) for each in requirements]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        found |= {key, name}
        environments = [{"extra": extra} for extra in ("", *requirement.extras)]
        todo += [
            each
            for each in map(Requirement, distribution(name).requires or [])
            if not each.marker or any(each.marker.evaluate(environment) for environment in environments)
        ]
    return {name for name in found if "[" not in name}


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


class TestLocksOfTheImages:
    @pytest.mark.parametrize("lock", IMAGE_LOCKS, ids=lambda path: path.name)
    def test_pin_what_the_lock_of_everything_pins(self, lock: Path) -> None:
        everything = pins(LOCK)
        assert {pin: hashes for pin, hashes in pins(lock).items() if everything.get(pin) != hashes} == {}

    @pytest.mark.parametrize("lock", IMAGE_LOCKS, ids=lambda path: path.name)
    def test_name_no_package_index(self, lock: Path) -> None:
        assert "://" not in lock.read_text()

    def test_hold_all_that_their_image_needs(self) -> None:
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
        project = settings["project"]
        wanted = {
            "requirements-operator.lock": settings["dependency-groups"]["operator-image"],
            "requirements-trainer.lock": [
                each
                for each in project["dependencies"] + project["optional-dependencies"]["trainer"]
                if not each.startswith("kubernetes")  # the command line's and the operator's
            ],
        }
        for lock in IMAGE_LOCKS:
            names = {pin.split("==")[0] for pin in pins(lock)}
            assert needed(wanted[lock.name]) - names == set(), f"not in {lock.name}: run `make lock`"

    def test_operator_image_asks_for_no_other_versions_than_the_package(self) -> None:
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
        project = settings["project"]
        extras = project["optional-dependencies"]
        known = {*project["dependencies"], *extras["operator"], *extras["trainer"]}
        assert set(settings["dependency-groups"]["operator-image"]) - known == set()
