"""What holds for all tests."""

import os
import signal

from hypothesis import settings

from broker.config.names import environment_names, setting_paths

# A shell that runs the tests in the background lets them, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Nothing is timed: a busy computer fails no test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# The shell may be that of somebody with an account: neither the tests nor what they start see it.
_SETTINGS = {name for path in setting_paths() for name in environment_names(path)}
for _name in [*os.environ]:
    if _name in _SETTINGS or _name.startswith("GPU_BROKER_"):
        del os.environ[_name]
