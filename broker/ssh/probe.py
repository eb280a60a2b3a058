"""The commands that look at a machine, and the reading of what they print.

Nothing is written to a machine's disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker.decide.idle import IdleReading
from broker.decide.proof import Gpu, Verification
from broker.ssh.login import SshResult
from broker.ssh.steps import SETUP, Step, first_words, parse_keys, parse_steps

VERIFY_COMMAND = (
    f"sh -c '{SETUP}"
    "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits 2>&1; did gpus; "
    'cat "$HOME/.ssh/authorized_keys" 2>/dev/null; did keys\''
)
"""Shows the GPUs, and the public keys that may log in."""

IDLE_COMMAND = (
    f"sh -c '{SETUP}"
    "nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null; did load; "
    "who 2>/dev/null; did who; "
    # Our own ancestors: one process id a line.
    "i=$$; while { read -r s < /proc/$i/stat; } 2>/dev/null; do "
    'echo "$i"; set -- ${s##*") "}; i=$2; done; did self; '
    # The SSH daemon's processes: id, parent's id, title.
    "for p in /proc/[0-9]*; do { read -r s < $p/stat; } 2>/dev/null || continue; "
    'case $s in *"(sshd"*) set -- ${s##*") "}; '
    r'echo "${p#/proc/} $2 $({ tr "\0" " " < $p/cmdline; } 2>/dev/null)";; esac; '
    "done; did sshd'"
)
"""Shows how busy the GPUs are, and who is logged in."""

_NUMBER = r"[0-9]{1,9}"
_GPU = re.compile(rf"(?P<name>[^,]+), *(?:(?P<mib>{_NUMBER})(?: MiB)?|\[.*\]|ERR!)")
_LOAD = re.compile(rf"(?P<percent>{_NUMBER})(?: ?%)?")
_SELF = re.compile(_NUMBER)
_PROCESS = re.compile(
    rf"(?P<pid>{_NUMBER}) (?P<parent>{_NUMBER}) sshd(?:-session|-auth)?: (?P<title>.*)"
)
_LISTENS = "[listener]"
_NOT_LOGGED_IN = re.compile(r"\[(?:net|accepted|preauth)\]")
_DETACHED = re.compile(r"\(tmux\(|:S\.[0-9]+\)")
"""Terminals of tmux and screen: whoever sits before them is listed beside them."""

_NEAREST = 3
"""Our shell, the login shell, and then the SSH daemon must come."""
_DEEPEST = 8
"""Processes of one connection above each other; OpenSSH has two."""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    title: str


def parse_verification(result: SshResult) -> Verification:
    """What `VERIFY_COMMAND` showed. A machine that ran something else shows a failure."""
    steps = parse_steps(result.stdout)
    smi, keys = steps.get("gpus"), steps.get("keys")
    if smi is None:
        said = f"the machine did not run our command (exit code {result.exit_code})"
        return Verification((), first_words((result.stdout, result.stderr), said), ())
    matches = [_GPU.fullmatch(line) for line in smi.lines]
    gpus = tuple(_gpu(match) for match in matches if match)
    has_failed = smi.exit_code != 0 or not gpus
    failure = first_words(smi.lines, f"exit code {smi.exit_code}") if has_failed else None
    return Verification(
        gpus=() if has_failed else gpus,
        failure=failure,
        authorized_keys=parse_keys(keys.lines if keys else ()),
    )


def parse_idle(result: SshResult) -> IdleReading:
    """What `IDLE_COMMAND` showed; None for whatever cannot be told."""
    steps = parse_steps(result.stdout)
    seen = [users for users in (_listed_users(steps), _ssh_users(steps)) if users is not None]
    return IdleReading(gpu_util=_busiest(steps), users=max(seen, default=None))


def _gpu(match: re.Match[str]) -> Gpu:
    return Gpu(match["name"].strip(), int(match["mib"]) if match["mib"] else None)


def _busiest(steps: Mapping[str, Step]) -> float | None:
    """Percent; None as soon as one GPU does not tell."""
    step = steps.get("load")
    if step is None or step.exit_code != 0:
        return None
    loads = [_LOAD.fullmatch(line) for line in step.lines]
    if not all(loads):
        return None
    return max((float(load["percent"]) for load in loads if load), default=None)


def _listed_users(steps: Mapping[str, Step]) -> int | None:
    step = steps.get("who")
    if step is None or step.exit_code != 0:
        return None
    return sum(not _DETACHED.search(line) for line in step.lines)


def _ssh_users(steps: Mapping[str, Step]) -> int | None:
    """Logged-in connections of the SSH daemon beside ours.

    None where ours is not among them: then something else serves SSH, or processes are
    hidden, and what we see says nothing.
    """
    nearest = _lines(steps, "self")[:_NEAREST]
    ours = {int(line) for line in nearest if _SELF.fullmatch(line)}
    connections = _connections(_lines(steps, "sshd"))
    others = [all_of for all_of in connections if not any(one.pid in ours for one in all_of)]
    return None if len(others) == len(connections) else sum(map(_is_logged_in, others))


def _lines(steps: Mapping[str, Step], name: str) -> tuple[str, ...]:
    return steps[name].lines if name in steps else ()


def _connections(lines: Iterable[str]) -> list[list[_Process]]:
    """The SSH daemon's processes, one group a connection."""
    matches = (_PROCESS.fullmatch(line) for line in lines)
    processes = {
        int(match["pid"]): _Process(int(match["pid"]), int(match["parent"]), match["title"])
        for match in matches
        if match and _LISTENS not in match["title"]
    }
    groups: dict[int, list[_Process]] = {}
    for process in processes.values():
        groups.setdefault(_first(process, processes).pid, []).append(process)
    return list(groups.values())


def _first(process: _Process, processes: Mapping[int, _Process]) -> _Process:
    for _ in range(_DEEPEST):
        process = processes.get(process.parent, process)
    return process


def _is_logged_in(connection: Iterable[_Process]) -> bool:
    return not any(_NOT_LOGGED_IN.search(process.title) for process in connection)
