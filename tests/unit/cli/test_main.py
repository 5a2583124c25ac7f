"""The command line: help at once, one message per mistake, exit codes as documented."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pretrain_cli import main as program
from pretrain_cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parents[3]
JOB = str(ROOT / "examples/quickstart.yaml")
HEAVY = ("torch", "transformers", "fsspec", "s3fs", "kubernetes", "kopf", "rich", "numpy", "pyarrow", "asyncio")


def imported_by(*arguments: str) -> set[str]:
    code = (
        "import sys, contextlib, io\nfrom pretrain_cli.main import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()):\n    code = main({list(arguments)!r})\n"
        "print(code, *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    exit_code, *modules = done.stdout.split()
    assert exit_code == "0"
    return set(modules)


class TestHelp:
    def test_names_every_command_with_examples(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--help"]) == 0
        text = capsys.readouterr().out
        for name in COMMANDS:
            assert f"\n  {name}" in text
        assert "pretrain run job.yaml --set spec.storage.uri=" in text

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_shows_examples(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([name, "--help"]) == 0
        assert "Examples:" in capsys.readouterr().out

    def test_imports_nothing_that_takes_long(self) -> None:
        assert imported_by("--help").isdisjoint((*HEAVY, "pydantic", "yaml"))

    def test_the_version_is_that_of_the_package(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--version"]) == 0
        assert capsys.readouterr().out.startswith("pretrain, version ")


class TestMistakes:
    def test_a_misspelt_command_is_answered_with_the_one_that_was_meant(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["validat"]) == 2
        assert "Did you mean validate?" in capsys.readouterr().err

    def test_a_misspelt_option_is_answered_with_the_one_that_was_meant(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["validate", JOB, "--sett", "a=b"]) == 2
        assert "--set" in capsys.readouterr().err

    def test_ctrl_c_is_130_and_no_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(**_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(program.cli, "main", interrupted)
        assert main([]) == 130

    def test_a_reader_that_leaves_is_no_traceback(self) -> None:
        command = f'{sys.executable} -c \'from pretrain_cli.main import main; exit(main(["explain", "--recursive"]))\' | head -1'
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("PretrainJob")
        assert done.stderr == ""


class TestStandardStreams:
    @staticmethod
    def run(redirected: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        code = f"from pretrain_cli.main import main; exit(main({list(arguments)!r}))"
        return subprocess.run(
            ["/bin/sh", "-c", f'exec "$0" -c "$1" {redirected}', sys.executable, code],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def test_closed_ones_are_no_traceback(self) -> None:
        done = self.run(">&-", "validate", JOB)
        assert (done.returncode, done.stderr) == (0, "")
        assert self.run("2>&-", "validate", "nowhere.yaml").returncode == 2
        done = self.run("<&-", "validate", "-")
        assert done.returncode == 2
        assert "[empty-file]" in done.stderr

    def test_one_that_is_full_is_one_line(self) -> None:
        done = self.run(">/dev/full", "explain", "training")
        assert done.returncode == 1
        assert done.stderr == "error: the output cannot be written: No space left on device\n"

    def test_a_message_that_finds_no_room_leaves_the_exit_code(self) -> None:
        assert self.run("2>/dev/full", "validate", "nowhere.yaml").returncode == 2
        assert self.run("2>/dev/full", "run", "nowhere.yaml").returncode == 2
        done = self.run("2>/dev/full", "validate", "nowhere.yaml", JOB)
        assert (done.returncode, done.stdout) == (2, f"{JOB}: valid\n")


@pytest.mark.parametrize("command", ["run", "status", "logs", "report"])
def test_a_relative_storage_in_a_folder_that_was_removed_is_one_message(command: str, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = f"from pretrain_cli.main import main; exit(main(['{command}', {JOB!r}, '--set', 'spec.storage.uri=run']))"
    done = subprocess.run(
        ["/bin/sh", "-c", 'cd "$2" && rmdir "$2" && exec "$0" -c "$1"', sys.executable, code, tmp_path / "gone"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "[current-folder-gone]" in done.stderr


def test_a_run_in_a_folder_that_was_removed_is_refused_wherever_its_storage_lies(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    arguments = ["run", JOB, "--set", f"spec.storage.uri={tmp_path}/run"]
    code = f"from pretrain_cli.main import main; exit(main({arguments!r}))"
    done = subprocess.run(
        ["/bin/sh", "-c", 'cd "$2" && rmdir "$2" && exec "$0" -c "$1"', sys.executable, code, tmp_path / "gone"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "[current-folder-gone]" in done.stderr
    assert not (tmp_path / "run").exists()


class TestValidate:
    def test_says_that_a_job_is_valid(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["validate", JOB]) == 0
        assert capsys.readouterr().out == f"{JOB}: valid\n"

    def test_imports_nothing_that_takes_long(self) -> None:
        assert imported_by("validate", JOB).isdisjoint(HEAVY)

    def test_problems_go_to_standard_error_with_exit_code_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["validate", JOB, "--set", "spec.training.steps=zero"]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("--set spec.training.steps=zero: spec.training.steps:")

    def test_every_file_is_checked(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        (tmp_path / "empty.yaml").touch()
        assert main(["validate", str(tmp_path / "empty.yaml"), JOB]) == 2
        output = capsys.readouterr()
        assert "[empty-file]" in output.err
        assert output.out == f"{JOB}: valid\n"

    def test_json_lists_the_problems_for_machines(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["validate", JOB, "nowhere.yaml", "-o", "json", "--set", "spec.zzz=1"]) == 2
        first, second = json.loads(capsys.readouterr().out)
        assert first["valid"] is second["valid"] is False
        assert [(p["code"], p["path"]) for p in first["problems"]] == [("unknown-field", "spec.zzz")]
        assert second["problems"][0]["code"] == "job-not-found"

    def test_yaml_says_the_same(self, capsys: pytest.CaptureFixture[str]) -> None:
        said = [
            (main(["validate", JOB, "nowhere.yaml", "-o", form]), capsys.readouterr().out) for form in ("json", "yaml")
        ]
        assert [code for code, _ in said] == [2, 2]
        assert json.loads(said[0][1]) == yaml.safe_load(said[1][1])


class TestExplain:
    def test_shows_type_purpose_and_fields(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["explain", "training.optimizer"]) == 0
        text = capsys.readouterr().out
        assert text.startswith("spec.training.optimizer  object")
        assert "  adamw  object\n      AdamW" in text
        assert "\x1b" not in text

    def test_lists_the_presets(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["explain", "model.preset"]) == 0
        assert "  llama-1b      973 M parameters" in capsys.readouterr().out

    def test_recursive_shows_the_whole_tree(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["explain", "training", "--recursive"]) == 0
        assert "\n      learningRate  number, default 0.0003\n" in capsys.readouterr().out

    def test_an_unknown_field_is_exit_code_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["explain", "traiining"]) == 2
        assert "Write training. [unknown-field]" in capsys.readouterr().err


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_prints_a_script_for_the_shell(self, shell: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["completion", shell]) == 0
        assert "_PRETRAIN_COMPLETE" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("pretrain va", "validate"),
            ("pretrain explain training.opt", "training.optimizer"),
            ("pretrain explain tra", "training"),
        ],
    )
    def test_completes_commands_and_field_paths(self, words: str, expected: str) -> None:
        environment = {"_PRETRAIN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = subprocess.run(
            [sys.executable, "-c", "from pretrain_cli.main import main; main()"],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert f"plain,{expected}" in done.stdout.splitlines()
