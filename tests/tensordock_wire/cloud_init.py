"""What of a machine's cloud-init happens on this computer.

It is for the system of a machine of its own, so most of it is not run here. Keys and variables
are read out of the commands that would install them; run are the commands that call a file
which cloud-init itself has written, in the home of the machine.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

_KEY = re.compile(r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-[\w-]+) [A-Za-z0-9+/=]{40,}")
_VARIABLE = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_ENVIRONMENT = "/etc/environment"


def installed_keys(cloud_init: Mapping[str, Any]) -> list[str]:
    """The public keys that it writes into a file called `authorized_keys`."""
    files = [f"{one['path']} {one['content']}" for one in cloud_init.get("write_files", [])]
    texts = [*cloud_init.get("runcmd", []), *files]
    return [key for text in texts if "authorized_keys" in text for key in _KEY.findall(text)]


def variables(cloud_init: Mapping[str, Any]) -> dict[str, str]:
    """What it appends to the environment of all logins."""
    words = [
        word
        for command in cloud_init.get("runcmd", [])
        if _ENVIRONMENT in command
        for word in shlex.split(command)
    ]
    found = (_VARIABLE.fullmatch(word) for word in words)
    return {match[1]: match[2] for match in found if match}


def start_script(cloud_init: Mapping[str, Any]) -> str | None:
    """Shell text, for the home of the machine, that runs its own files; None without any."""
    lines, places = [], {}
    for number, file in enumerate(cloud_init.get("write_files", [])):
        place = f"./.cloud-init-{number}"
        places[file["path"]] = place
        content = file["content"].replace(_ENVIRONMENT, "~/environment")
        lines.append(f"printf %s {shlex.quote(content)} > {place}; chmod 0700 {place}")
    for command in cloud_init.get("runcmd", []):
        called = [path for path in places if path in command]
        for path in called:
            command = command.replace(path, places[path])  # noqa: PLW2901 (one after the other)
        if called:
            lines.append(command)
    return "\n".join(lines) if lines else None
