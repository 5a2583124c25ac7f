"""The operator's flags: help, environment, wrong ones."""

import pytest
from click.testing import CliRunner

from pretrain_operator import __main__ as process
from pretrain_operator.shell.settings import OperatorSettings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[OperatorSettings]:
    """The settings that the process would have run with."""
    from pretrain_operator.shell import operator

    found: list[OperatorSettings] = []

    async def serve(settings: OperatorSettings) -> int:
        found.append(settings)
        return 0

    monkeypatch.setattr(operator, "serve", serve)
    monkeypatch.setattr(process, "_log", lambda form, level: None)
    return found


def run(*arguments: str, **environment: str) -> int:
    return CliRunner().invoke(process.main, list(arguments), env=environment).exit_code


def test_help_shows_every_flag_and_examples() -> None:
    text = CliRunner().invoke(process.main, ["--help"]).output
    for part in (
        "--trainer-image",
        "--namespace",
        "--leader-election / --no-leader-election",
        "Examples:",
        "KUBECONFIG",
    ):
        assert part in text


def test_flags_become_settings(started: list[OperatorSettings]) -> None:
    assert (
        run("--trainer-image", "i", "--namespace", "a", "--namespace", "b", "--no-leader-election", "--qps", "7") == 0
    )
    [settings] = started
    assert (settings.trainer_image, settings.namespaces, settings.leader_election) == ("i", ("a", "b"), False)
    assert settings.qps == 7


def test_each_flag_is_an_environment_variable(started: list[OperatorSettings]) -> None:
    environment = {"PRETRAIN_OPERATOR_TRAINER_IMAGE": "i", "PRETRAIN_OPERATOR_NAMESPACE": "a b",
                   "PRETRAIN_OPERATOR_LEADER_ELECTION": "false", "PRETRAIN_OPERATOR_BURST": "9"}  # fmt: skip
    assert run(**environment) == 0
    [settings] = started
    assert (settings.trainer_image, settings.namespaces, settings.burst) == ("i", ("a", "b"), 9)
    assert not settings.leader_election


def test_an_unknown_flag_and_a_missing_image_are_the_user_s_mistakes(started: list[OperatorSettings]) -> None:
    assert run("--trainer-image", "i", "--nonsense") == 2
    assert run() == 2
    assert started == []
