"""What holds for every test, whoever starts it."""

import gc
import signal

from hypothesis import HealthCheck, settings

# A shell starts what runs in its background deaf to Ctrl-C, and so would be every program that a test sends one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is imported stays: passes of the collector through it took a seventh of the time of imports and of the schedules.
gc.set_threshold(20_000, 10, 10)

# On a busy machine a case, or the making of its input, may take long by itself.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
