"""What holds for every test, whoever starts it."""

import signal

# A shell starts what runs in its background deaf to Ctrl-C, and so would be every program that a test sends one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
