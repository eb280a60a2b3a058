"""What machines print, as the probes read it: good words, bad words and no words."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.idle import IdleReading
from broker.decide.proof import Gpu, Verification
from broker.ssh.login import SshResult
from broker.ssh.probe import (
    IDLE_COMMAND,
    VERIFY_COMMAND,
    parse_idle,
    parse_verification,
)
from broker.ssh.steps import LONGEST_FAILURE

RTX_4090 = Gpu("NVIDIA GeForce RTX 4090", 24564)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ"
SSHD = "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"


def step(name: str, *lines: str, code: int = 0) -> str:
    """One step of a command, as the machine prints it."""
    return "".join(f"{line}\n" for line in (*lines, "", f"::gpu-broker:: {name} {code}"))


def printed(*steps: str, before: str = "", exit_code: int = 0) -> SshResult:
    """What a machine printed, after the marker of the start."""
    stdout = f"{before}\n{step('start')}{''.join(steps)}"
    return SshResult(exit_code, stdout, "", "ssh-ed25519 AAAA")


def verified(
    *lines: str, code: int = 0, keys: tuple[str, ...] = (), before: str = ""
) -> Verification:
    """What is read of a driver's answer."""
    return parse_verification(
        printed(step("gpus", *lines, code=code), step("keys", *keys), before=before)
    )


def idle(
    *loads: str,
    code: int = 0,
    who: tuple[str, ...] | None = (),
    ours: tuple[int, ...] = (),
    sshd: tuple[str, ...] = (),
) -> IdleReading:
    """What is read of loads, logins and processes; `who` of None is a machine without it."""
    return parse_idle(
        printed(
            step("load", *loads, code=code),
            step("who", *(who or ()), code=127 if who is None else 0),
            step("self", *map(str, ours)),
            step("sshd", *sshd),
        )
    )


def recorded(name: str) -> Path:
    """A folder or file of recorded outputs of the real tool."""
    folder = os.environ.get("RECORDED_MARKETS")
    if not folder:
        pytest.skip("RECORDED_MARKETS names no folder of recordings")
    return Path(folder) / "nvidia_smi" / name


def recorded_failures() -> Iterator[dict[str, Any]]:
    """Answers of the real tool that show no GPU."""
    for answer in json.loads(recorded("errors.json").read_text()):
        if answer.get("rc"):
            yield answer


def recorded_rows(*columns: str) -> Iterator[tuple[str, ...]]:
    """Cells of every recorded query, with the file's name before them."""
    for path in sorted(recorded("captures").glob("*.txt")):
        lines = path.read_text().splitlines()
        for n, line in enumerate(lines):
            if line.startswith("# $ nvidia-smi --query-gpu="):
                names = [cell.strip().partition(" [")[0] for cell in lines[n + 2].split(",")]
                cells = [cell.strip() for cell in lines[n + 3].split(",")]
                yield (path.stem, *(cells[names.index(column)] for column in columns))


class TestCommands:
    """What is sent to machines."""

    @pytest.mark.parametrize("command", [VERIFY_COMMAND, IDLE_COMMAND])
    def test_a_command_is_one_line_that_any_login_shell_hands_to_sh(self, command: str) -> None:
        """Users have bash, zsh, fish or csh; only `sh` is the same everywhere."""
        assert command.startswith("sh -c '")
        assert command.endswith("'")
        assert (command.count("'"), command.count("\n"), command.count("!")) == (2, 0, 0)


class TestVerification:
    """The GPUs and the keys."""

    def test_every_gpu_is_read_with_its_memory(self) -> None:
        """The proof counts them."""
        assert verified("NVIDIA GeForce RTX 4090, 24564", "NVIDIA H200, 143771").gpus == (
            RTX_4090,
            Gpu("NVIDIA H200", 143771),
        )

    def test_units_and_carriage_returns_do_not_disturb(self) -> None:
        """Some drivers print units though they were asked not to."""
        assert verified("NVIDIA GeForce RTX 4090, 24564 MiB\r").gpus == (RTX_4090,)

    @pytest.mark.parametrize("cell", ["[N/A]", "[Not Supported]", "[Unknown Error]", "ERR!"])
    def test_memory_that_the_driver_does_not_tell_is_unknown(self, cell: str) -> None:
        """Never a guess."""
        assert verified(f"NVIDIA GB10, {cell}") == Verification(
            (Gpu("NVIDIA GB10", None),), None, ()
        )

    def test_what_stands_before_the_first_marker_is_not_read(self) -> None:
        """Greetings, warnings about locales, and even a table of GPUs."""
        before = "Welcome!\nbash: Warnung: setlocale: LC_ALL\nNVIDIA H100 PCIe, 81559\nno newline"
        seen = verified("NVIDIA GeForce RTX 4090, 24564", before=before)
        assert seen.gpus == (RTX_4090,)

    def test_lines_that_are_no_gpus_do_not_count(self) -> None:
        """A driver that lost one GPU complains first and then lists the others, with success."""
        lost = "Unable to determine the device handle for GPU1: 0000:34:00.0: Unknown Error"
        assert verified(lost, "NVIDIA GeForce RTX 4090, 24564").gpus == (RTX_4090,)

    @pytest.mark.parametrize(
        ("lines", "code", "failure"),
        [
            (("sh: 1: nvidia-smi: not found",), 127, "sh: 1: nvidia-smi: not found"),
            (("No devices were found",), 0, "No devices were found"),
            (("", "Failed!", "more"), 18, "Failed!"),
            ((), 9, "exit code 9"),
            (("\x1b[31mFailed\x07!",), 9, "[31mFailed!"),
            (("x" * 1000,), 9, "x" * LONGEST_FAILURE),
            (("NVIDIA GeForce RTX 4090, 24564",), 15, "NVIDIA GeForce RTX 4090, 24564"),
        ],
    )
    def test_a_driver_that_fails_is_a_failure_with_its_first_words(
        self, lines: tuple[str, ...], code: int, failure: str
    ) -> None:
        """People read it: printable and short."""
        assert verified(*lines, code=code) == Verification((), failure, ())

    @pytest.mark.parametrize(
        ("stdout", "stderr", "failure"),
        [
            ("System is booting up.\n", "", "System is booting up."),
            ("", "Please log in as ubuntu.\n", "Please log in as ubuntu."),
            ("", "", "the machine did not run our command (exit code 1)"),
        ],
    )
    def test_a_machine_that_ran_something_else_shows_a_failure(
        self, stdout: str, stderr: str, failure: str
    ) -> None:
        """Forced commands and restricted shells prove nothing."""
        seen = parse_verification(SshResult(1, stdout, stderr, ""))
        assert seen == Verification((), failure, ())

    def test_recorded_failures_are_failures_with_their_first_line(self) -> None:
        """The real tool's words."""
        for answer in recorded_failures():
            said = answer["stdout"] + answer["stderr"]
            seen = verified(*said.splitlines(), code=answer["rc"])
            assert seen == Verification((), said.splitlines()[0].strip(), ())

    def test_recorded_gpus_are_those_that_the_recording_is_named_for(self) -> None:
        """The real tool's names and numbers."""
        for name, shown, memory in recorded_rows("name", "memory.total"):
            (gpu,) = verified(f"{shown}, {memory}").gpus
            assert (gpu.name, gpu.memory_mib) == (shown, int(memory.removesuffix(" MiB")))
            assert gpu.name.lower().replace(" ", "-") in name or "-mig" in name


class TestAuthorizedKeys:
    """Who may log in."""

    @pytest.mark.parametrize(
        "line",
        [
            KEY,
            f"{KEY} alice@laptop",
            f"  {KEY.replace(' ', '   ')}\r",
            f'no-pty,command="/bin/echo hello world" {KEY} with options',
        ],
    )
    def test_a_key_is_seen_whatever_stands_around_it(self, line: str) -> None:
        """Only type and key decide."""
        seen = verified("NVIDIA L40S, 46068", keys=("# gpu-broker", line))
        assert seen.authorized_keys == (KEY,)
        assert seen.admits(f"{KEY} another comment")

    def test_a_key_that_is_commented_out_lets_nobody_in(self) -> None:
        """So it proves nothing."""
        assert not verified("NVIDIA L40S, 46068", keys=(f"# {KEY}",)).admits(KEY)

    def test_a_longer_key_is_another_key(self) -> None:
        """The beginning of a key is no key."""
        assert not verified("NVIDIA L40S, 46068", keys=(f"{KEY}AAAA",)).admits(KEY)


class TestLoad:
    """How busy the GPUs are."""

    def test_the_busiest_gpu_counts(self) -> None:
        """One at work is enough."""
        assert idle("0", "87", "3").gpu_util == 87
        assert idle("0 %", "4 %").gpu_util == 4

    @pytest.mark.parametrize("cell", ["[N/A]", "[Not Supported]", "[GPU is lost]", "?"])
    def test_one_gpu_that_does_not_tell_makes_it_unknown(self, cell: str) -> None:
        """It may be the one at work: with MIG, no GPU tells."""
        assert idle("0", cell).gpu_util is None

    @pytest.mark.parametrize(("loads", "code"), [((), 0), ((), 127), (("0",), 9)])
    def test_a_driver_that_fails_leaves_it_unknown(self, loads: tuple[str, ...], code: int) -> None:
        """No answer is no idleness."""
        assert idle(*loads, code=code).gpu_util is None

    def test_recorded_loads_are_read(self) -> None:
        """The real tool's cells."""
        for name, cell in recorded_rows("utilization.gpu"):
            expected = None if "-mig" in name else float(cell.removesuffix(" %"))
            assert idle(cell).gpu_util == expected


class TestUsers:
    """Who is logged in, the probe not counted."""

    def test_who_counts_where_ours_is_not_among_the_daemons_connections(self) -> None:
        """Another SSH server, or hidden processes."""
        assert idle("0", who=("ann pts/0 2026-03-01 10:00 (198.51.100.7)", "bob tty1")).users == 2
        assert idle("0").users == 0
        assert idle("0", sshd=(f"10 1 {SSHD}", "20 10 sshd: ann@pts/0")).users == 0

    def test_terminals_of_tmux_and_screen_are_nobody(self) -> None:
        """They stay when their owner has gone; who sits before them has a line of their own."""
        lines = (
            "ann pts/1 2026-03-01 10:00 (tmux(431).%0)",
            "ann pts/2 2026-03-01 10:00 (:pts/0:S.0)",
        )
        assert idle("0", who=lines).users == 0

    def test_connections_of_the_daemon_count_but_for_ours(self) -> None:
        """Containers keep no list for `who`, and copying files opens no terminal."""
        seen = idle(
            "0",
            ours=(31, 30, 10, 1),
            sshd=(
                f"10 1 {SSHD}",
                "30 10 sshd: root@notty",
                "40 10 sshd: root@pts/0,pts/1",
                "50 10 sshd: root@notty",
                "60 10 sshd: root",
            ),
        )
        assert seen.users == 3

    @pytest.mark.parametrize("name", ["sshd", "sshd-session"])
    def test_the_processes_of_one_connection_are_one_user(self, name: str) -> None:
        """For users other than root, and in new versions, each connection has two or three."""
        seen = idle(
            "0",
            ours=(33, 31, 30),
            sshd=(
                f"10 1 {SSHD}",
                f"30 10 {name}: ubuntu [priv]",
                f"31 30 {name}: ubuntu@notty",
                f"40 10 {name}: ubuntu [priv]",
                f"41 40 {name}: ubuntu@pts/0",
            ),
        )
        assert seen.users == 1

    @pytest.mark.parametrize(
        "strangers",
        [
            ("40 10 sshd: [accepted]",),
            ("40 10 sshd: root [priv]", "41 40 sshd: root [net]"),
            ("40 10 sshd-session: unknown [priv]", "41 40 sshd-auth: unknown [net]"),
            ("40 10 sshd: unknown [preauth]",),
        ],
    )
    def test_whoever_only_knocks_is_nobody(self, strangers: tuple[str, ...]) -> None:
        """Every public machine is knocked at all the time."""
        seen = idle("0", ours=(31, 30), sshd=(f"10 1 {SSHD}", "30 10 sshd: root@notty", *strangers))
        assert seen.users == 0

    def test_a_far_ancestor_is_not_our_connection(self) -> None:
        """A simulated machine runs under a broker that somebody may have started over SSH."""
        seen = idle(
            "0", ours=(93, 92, 91, 90, 30), sshd=("30 10 sshd: dev@pts/0", "40 10 sshd: dev@pts/1")
        )
        assert seen.users == 0

    def test_the_larger_number_counts(self) -> None:
        """A console has no connection, a connection without a terminal has no line."""
        ours = {"ours": (31, 30), "sshd": ("30 10 sshd: root@notty",)}
        assert idle("0", who=("ann tty1 2026-03-01 10:00",), **ours).users == 1  # type: ignore[arg-type]

    def test_without_any_way_to_tell_it_is_unknown(self) -> None:
        """Not zero."""
        assert idle("0", who=None).users is None
        assert parse_idle(SshResult(0, "System is booting up.", "", "")) == IdleReading(None, None)


class TestAnything:
    """A machine may print what it likes; whoever rents it is root there."""

    TEXT = st.text() | st.lists(
        st.sampled_from(("gpus", "keys", "load", "who", "self", "sshd", "start")).flatmap(
            lambda name: st.builds(
                lambda lines, code: step(name, *lines, code=code),
                st.lists(
                    st.text()
                    | st.from_regex(r"[0-9]{1,30} [0-9]{1,30} sshd: .{0,9}")
                    | st.from_regex(r"\A.{0,9}, ?[0-9]{1,5000}\Z")
                    | st.sampled_from(["1 2 sshd: a", "2 1 sshd: b", "²", "٣", "9" * 5000]),
                    max_size=6,
                ),
                st.integers(),
            )
        ),
        max_size=6,
    ).map("".join)

    @given(TEXT, st.integers())
    def test_it_is_read_without_a_mistake_of_ours(self, stdout: str, code: int) -> None:
        """Whatever comes, an answer comes out of it."""
        result = SshResult(code, stdout, stdout, "")
        seen = parse_verification(result)
        assert (seen.failure is None) == bool(seen.gpus)
        reading = parse_idle(result)
        assert reading.users is None or reading.users >= 0

    def test_absurd_numbers_are_no_numbers(self) -> None:
        """Python refuses to read numbers of thousands of digits, with an error."""
        absurd = "9" * 5000
        assert idle(absurd).gpu_util is None
        assert verified(f"NVIDIA L40S, {absurd}").failure is not None
        lines = step("self", absurd, "30"), step("sshd", "30 1 sshd: a@b", f"{absurd} 1 sshd: c@d")
        assert parse_idle(printed(*lines)).users == 0
