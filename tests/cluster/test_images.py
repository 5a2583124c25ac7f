"""The images: what is in them, what is not, and that they run where nothing is allowed."""

import json
import os
import secrets
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster.cluster import DevelopmentCluster
from support.cluster.missing import visibly
from support.cluster.places import REPOSITORY
from support.images import container
from support.images.build import build
from support.images.image import Image
from support.pods import Pods, a_pod

EVERY_MODULE = """
# But those for the tools in which runs are compared: `pretrain track` works where people are, with an extra for each.
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
        if not module.name.endswith(".__main__") and not module.name.startswith("pretrain_trainer.tracking.to_"):
            importlib.import_module(module.name)
"""
WRITABLE = """
import os
writable = [p for p, _, _ in os.walk("/") if not p.startswith(("/proc", "/sys", "/dev")) and os.access(p, os.W_OK)]
print(sorted(writable), os.getuid(), os.getgid(), [l for l in open("/proc/self/status") if l.startswith("CapEff")])
"""


@pytest.fixture(scope="module")
def operator() -> Iterator[Image]:
    with visibly():
        yield build("operator")


@pytest.fixture(scope="module")
def trainer() -> Iterator[Image]:
    """Cold, this takes minutes: torch is installed."""
    with visibly():
        yield build("trainer")


@pytest.fixture(scope="module")
def marker() -> str:
    """Something that stands nowhere else."""
    return secrets.token_hex(8)


@pytest.fixture(scope="module")
def operator_again(operator: Image, marker: str, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Built once more from the start, from another checkout, on a machine with other settings."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("Dockerfile", ".dockerignore", "LICENSE", "pyproject.toml", "requirements-operator.lock",
                 "requirements-trainer.lock", "scripts", "api", "operator", "trainer"):  # fmt: skip
        place = REPOSITORY / name
        for path in [place] if place.is_file() else place.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                _copy(path, checkout / path.relative_to(REPOSITORY))
    settings = {"BUILD_TOKEN": marker, "UV_HTTP_TIMEOUT": "180"}
    return build("operator", "--no-cache", settings=settings, source=checkout)


@pytest.fixture(scope="module", params=["operator", "trainer"])
def image(request: pytest.FixtureRequest) -> Image:
    """Each of the two."""
    found: Image = request.getfixturevalue(request.param)
    return found


def output(image: Image, *command: str) -> str:
    done = container.run(image, *command)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def names(image: Image, layer: str) -> list[str]:
    return [member.name.removeprefix("./") for member in image.files(layer)]


class TestOperator:
    def test_has_at_most_200_megabytes_unpacked(self, operator: Image) -> None:
        assert operator.size_bytes <= 200e6

    def test_has_no_torch_and_no_trainer(self, operator: Image) -> None:
        folders = {
            part for layer in operator.layers for name in names(operator, layer) for part in name.split("/")[:-1]
        }
        assert {"pretrain_operator", "kopf"} <= folders
        assert folders & {"torch", "nvidia", "triton", "transformers", "pretrain_trainer"} == set()

    def test_every_module_of_operator_and_api_can_be_imported(self, operator: Image) -> None:
        """What one of them needs and the image lacks belongs into the group `operator-image` of pyproject.toml."""
        output(operator, "python", "-W", "error", "-c", EVERY_MODULE, "pretrain_operator", "pretrain_api")

    def test_starts_the_operator(self, operator: Image) -> None:
        assert operator.settings["Entrypoint"] == ["python", "-m", "pretrain_operator"]


class TestTrainer:
    def test_stage_program_shows_its_help(self, trainer: Image) -> None:
        assert "--stage" in output(trainer, "python", "-m", "pretrain_trainer", "--help")

    def test_torch_is_the_locked_one_and_computes(self, trainer: Image) -> None:
        program = "import torch; print(torch.__version__, torch.ones(3).sum().item())"
        version, result = output(trainer, "python", "-c", program).split()
        assert f"torch=={version.split('+')[0]} " in (REPOSITORY / "requirements-trainer.lock").read_text()
        assert result == "3.0"

    def test_every_module_of_trainer_and_api_can_be_imported(self, trainer: Image) -> None:
        output(trainer, "python", "-c", EVERY_MODULE, "pretrain_trainer", "pretrain_api")

    def test_knows_the_version_of_the_package(self, trainer: Image) -> None:
        program = "from importlib.metadata import version; print(version('pretrain-operator'))"
        assert f'version = "{output(trainer, "python", "-c", program).strip()}"' in (
            REPOSITORY / "pyproject.toml"
        ).read_text(encoding="utf-8")

    def test_user_has_a_name(self, trainer: Image) -> None:
        """torch asks for it."""
        assert output(trainer, "python", "-c", "import getpass; print(getpass.getuser())") == "pretrain\n"


class TestBoth:
    def test_run_as_a_user_without_rights_and_write_nowhere_but_in_tmp(self, image: Image) -> None:
        assert image.settings["User"] == "65532:65532"
        assert output(image, "python", "-c", WRITABLE) == "['/tmp'] 65532 65532 ['CapEff:\\t0000000000000000\\n']\n"

    def test_have_no_installer_and_no_compiler(self, image: Image) -> None:
        program = "import shutil, sys; print([p for p in sys.argv[1:] if shutil.which(p)])"
        assert output(image, "python", "-c", program, "pip", "pip3", "uv", "gcc", "cc", "g++", "make") == "[]\n"

    def test_say_what_they_are(self, image: Image) -> None:
        labels = image.settings["Labels"]
        assert labels.keys() == {
            f"org.opencontainers.image.{key}" for key in ("title", "description", "licenses", "version", "revision")
        }
        assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"

    def test_our_own_code_is_the_last_layer_and_thin(self, image: Image) -> None:
        layer = image.layers[-1]
        assert image.blob(layer).stat().st_size < 5e6
        packages = {name.split("/")[3] for name in names(image, layer) if name.startswith("opt/pretrain/code/p")}
        assert {"pretrain_api"} < packages
        for other in image.layers[:-1]:
            assert [name for name in names(image, other) if "pretrain_api" in name] == []

    def test_bytecode_is_complete_and_depends_on_no_time_stamp(self, image: Image) -> None:
        """Stale or missing, it would be compiled at every start: the root file system is read-only."""
        sources, compiled = set(), set()
        with tarfile.open(image.blob(image.layers[-1])) as layer:
            for member in layer:
                if member.name.endswith(".py"):
                    sources.add(member.name)
                elif member.name.endswith(".pyc"):
                    folder, _, name = member.name.rpartition("/__pycache__/")
                    compiled.add(f"{folder}/{name.split('.')[0]}.py")
                    content = layer.extractfile(member)
                    assert content
                    assert struct.unpack("<I", content.read(8)[4:]) == (1,), f"{member.name} is bound to a time stamp"
        assert sources == compiled != set()

    def test_hold_nothing_of_the_build(self, image: Image) -> None:
        base, *layers = image.layers
        places = ("source", "root/.cache", "run/secrets", "run/uv-cache", "etc/resolv.conf", "etc/hostname")
        for layer in layers:
            found = [m.name for m in image.files(layer) if m.name.startswith(places) and m.isreg() and m.size]
            assert found == []
        assert not {"etc/resolv.conf", "etc/hostname"} & set(names(image, base))
        assert {variable.split("=")[0] for variable in image.settings["Env"]} == {
            "HOME", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED",
        }  # fmt: skip


class TestInNodes:
    def test_both_run_in_pods_of_every_node(
        self, development_cluster: DevelopmentCluster, namespace: str, operator_image: str, trainer_image: str
    ) -> None:
        pods = Pods(development_cluster.kubectl, namespace)
        for node in development_cluster.nodes:
            for package, image in (("pretrain_operator", operator_image), ("pretrain_trainer", trainer_image)):
                name = f"{package.replace('_', '-')}-{node.name}"
                program = f"import {package}; print({package}.__file__)"
                output = pods.output(a_pod(name, image, "python", "-c", program, node=node.name))
                assert output == f"/opt/pretrain/code/{package}/__init__.py\n"

    def test_survive_a_restart_of_the_node(
        self, development_cluster: DevelopmentCluster, namespace: str, trainer_image: str
    ) -> None:
        """containerd then looks whether the store has all that its images need."""
        node = development_cluster.nodes[-1]
        node.switch_off()
        node.switch_on()
        node.start_kubelet()
        development_cluster.wait_until_ready()
        pods = Pods(development_cluster.kubectl, namespace)
        assert pods.output(a_pod("after", trainer_image, "python", "-c", "print(1)", node=node.name)) == "1\n"


class TestSecondBuild:
    def test_has_the_same_digests(self, operator: Image, operator_again: Image) -> None:
        assert operator_again.layers == operator.layers
        assert operator_again.identity == operator.identity

    def test_keeps_no_secret(self, operator_again: Image, marker: str) -> None:
        assert marker not in json.dumps(json.loads(operator_again.configuration))
        for layer in operator_again.layers:
            assert marker.encode() not in operator_again.blob(layer).read_bytes()


def _copy(source: Path, target: Path) -> None:
    """With another date and other rights than the original's."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    target.chmod(0o666)
    os.utime(target, (1e9, 1e9))
