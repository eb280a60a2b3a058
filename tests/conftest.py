"""What holds for all tests."""

import signal

from hypothesis import settings

# A shell that runs the tests in the background lets them, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Nothing is timed: a busy computer fails no test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
