"""What ranks tell of what they are doing."""

import os
import signal
import threading

from support.eventually import eventually

from pretrain_trainer.agent import stacks
from pretrain_trainer.agent.ranks import Ranks
from pretrain_trainer.agent.stacks import Stack, innermost


def hang_here() -> None:
    threading.Event().wait()


def whole(stack: Stack) -> str:
    """What was written, once nothing is added any more: while it writes, a rank takes no other signal."""
    seen: list[str] = []
    eventually(lambda: seen.append(stack.read()), lambda _: len(seen) > 5 and len(set(seen[-5:])) == 1)
    return seen[-1]


def test_a_rank_that_hangs_says_where_again_and_again() -> None:
    stack, ranks = Stack(0), Ranks()

    def program() -> int:
        stack.answer()
        threading.Thread(target=hang_here, daemon=True).start()
        os.write(into, b"r")
        hang_here()
        return 0

    out, into = os.pipe()
    try:
        ranks.start(0, {}, program)
        assert os.read(out, 1) == b"r"

        def asked() -> str:
            stack.clear()
            assert stack.read() == ""
            ranks.ask_for_stacks()
            eventually(stack.read)
            return whole(stack)

        for _ in range(2):  # it says that it has begun a moment before it hangs
            text = eventually(asked, lambda text: innermost(text).startswith("threading.py:"))
            assert "in program" in text
            assert text.count("in hang_here") == 2
    finally:
        ranks.kill()
        ranks.wait_for_all(5)
        os.close(out)
        os.close(into)


def test_a_rank_that_is_stopped_says_nothing() -> None:
    stack, ranks = Stack(0), Ranks()

    def program() -> int:
        stack.answer()
        os.kill(os.getpid(), signal.SIGSTOP)
        return 0

    try:
        ranks.start(0, {}, program)
        ((_, pid),) = ranks._alive.values()
        os.waitpid(pid, os.WUNTRACED)
        ranks.ask_for_stacks()
        assert stack.read() == ""
        assert innermost("") == ""
    finally:
        ranks.kill()
        ranks.wait_for_all(5)


def test_the_innermost_place_of_the_thread_that_took_the_signal_counts() -> None:
    text = (
        'Thread 0x1 (most recent call first):\n  File "/a/other.py", line 1 in wait\n\n'
        'Current thread 0x2 (most recent call first):\n  File "/a/b/loop.py", line 205 in _step\n  File "/a/x.py", line 3 in g\n'
    )
    assert innermost(text) == "loop.py:205 in _step"
    assert innermost("Current thread 0x2 (most recent call first):\n  <no Python frame>\n") == "?"
    assert stacks.SIGNAL == signal.SIGUSR1
