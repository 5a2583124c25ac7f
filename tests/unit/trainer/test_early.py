"""A stop that comes before the program is there to hear it; what it does without; how it ends."""

import os
import signal
import subprocess
import sys

import pytest

from pretrain_trainer import early


def test_a_signal_that_comes_early_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "_asked", [])
    before = signal.getsignal(signal.SIGTERM)
    try:
        early.listen()
        assert not early.was_asked_to_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert early.was_asked_to_stop()
    finally:
        signal.signal(signal.SIGTERM, before)


def program(main: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys\nfrom pretrain_trainer import early\ndef main():\n    {main}\nearly.run(main)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("end", "code"), [("return 3", 3), ("sys.exit(2)", 2), ("sys.exit()", 0), ("1 / 0", 1)])
def test_a_program_ends_with_its_code_and_all_that_it_said(end: str, code: int) -> None:
    done = program(f"print('said'); {end}")
    assert (done.returncode, done.stdout) == (code, "said\n")
    assert ("ZeroDivisionError" in done.stderr) == (code == 1)


def test_a_program_does_without_a_package_as_if_it_were_not_there() -> None:
    done = program(
        "early.do_without('torchvision'); import importlib.util as u; return int(bool(u.find_spec('torchvision')))"
    )
    assert done.returncode == 0, done.stderr


def test_a_process_that_others_use_is_left_as_it_is() -> None:
    early.do_without("a_package_that_nobody_has")
    assert "a_package_that_nobody_has" not in sys.modules
