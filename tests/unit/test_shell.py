"""The shell that runs the tests changes none of them."""

from __future__ import annotations

import os
import subprocess
import sys

from broker.config.names import environment_names, setting_paths
from tests.unit.documents import ROOT

_PROGRAM = "import os, tests.conftest; print(*os.environ)"


def test_no_test_sees_the_settings_of_the_shell() -> None:
    """Somebody with an account has its key there: no test may use it, or fail because of it."""
    names = {name for path in setting_paths() for name in environment_names(path)}
    names |= {"GPU_BROKER_URL", "GPU_BROKER_DEBUG"}
    environment = {**os.environ, **dict.fromkeys(names, "1")}

    shown = subprocess.check_output(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, env=environment, text=True
    )

    assert "PATH" in shown.split()
    assert names & set(shown.split()) == set()
