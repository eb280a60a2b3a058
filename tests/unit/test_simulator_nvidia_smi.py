"""The simulated nvidia-smi: the words, the columns and the exit codes of the real one."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.simulator.catalog import model_of
from providers.simulator.nvidia_smi import FACTS_NAME, SCRIPT, render_facts

Run = Callable[..., subprocess.CompletedProcess[str]]

TABLE_OF_ONE = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 550.127.05             Driver Version: 550.127.05     CUDA Version: 12.4     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  NVIDIA H100 80GB HBM3          On  |   00000000:01:00.0 Off |                    0 |
| N/A   31C    P0             70W /  700W |       1MiB /  81559MiB |      0%      Default |
|                                         |                        |                  N/A |
+-----------------------------------------+------------------------+----------------------+

+-----------------------------------------------------------------------------------------+
| Processes:                                                                              |
|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |
|        ID   ID                                                               Usage      |
|=========================================================================================|
|  No running processes found                                                             |
+-----------------------------------------------------------------------------------------+
"""


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Run]:
    """Put the tool on a machine; what comes back runs it."""

    def installed(gpu_type: str = "RTX 4090", vram_gb: int = 24, count: int = 2) -> Run:
        model = model_of(gpu_type, vram_gb)
        facts = render_facts(model, count, cuda_version=12.4, identity="machine 1")
        (tmp_path / "root").mkdir()
        (tmp_path / "bin").mkdir()
        (tmp_path / FACTS_NAME).write_text(facts)
        tool = tmp_path / "bin" / "nvidia-smi"
        tool.write_text(SCRIPT)
        tool.chmod(0o755)

        def run(*arguments: str, util: str | None = None) -> subprocess.CompletedProcess[str]:
            if util is not None:
                (tmp_path / "root" / "gpu_util").write_text(util)
            return subprocess.run(  # noqa: S603 (our own script)
                [tool, *arguments], capture_output=True, text=True, check=False, env=os.environ
            )

        return run

    return installed


@pytest.fixture
def smi(install: Callable[..., Run]) -> Run:
    """The tool of a machine with two RTX 4090."""
    return install()


def test_the_usual_probe_is_answered(smi: Run) -> None:
    """Names, memory as the driver reports it, and load, one line a GPU."""
    done = smi("--query-gpu=name,memory.total,utilization.gpu", "--format=csv,noheader,nounits")

    assert done.stdout == "NVIDIA GeForce RTX 4090, 24564, 0\n" * 2
    assert (done.stderr, done.returncode) == ("", 0)


def test_units_and_headers_are_those_of_the_real_tool(smi: Run) -> None:
    """Units stand in the header in any case; other spellings of a field give the usual header."""
    query = "--query-gpu=index, gpu_name, memory.used, power.draw, temperature.gpu, clocks.sm"

    assert smi(query, "--format=csv", "-i", "1").stdout == (
        "index, name, memory.used [MiB], power.draw [W], temperature.gpu,"
        " clocks.current.sm [MHz]\n"
        "1, NVIDIA GeForce RTX 4090, 1 MiB, 45.00 W, 31, 210 MHz\n"
    )
    assert smi("--query-gpu=memory.free", "--format=csv,nounits", "-i", "0").stdout == (
        "memory.free [MiB]\n24372\n"
    )


def test_a_value_that_the_card_does_not_have_has_no_unit(install: Callable[..., Run]) -> None:
    """As the real tool writes it."""
    smi = install("L40S", 48, 1)

    done = smi("--query-gpu=fan.speed,memory.total,ecc.mode.current", "--format=csv,noheader")

    assert done.stdout == "[N/A], 46068 MiB, Enabled\n"


@pytest.mark.parametrize(
    "field",
    [
        *("timestamp", "driver_version", "count", "name", "serial", "uuid", "pci.bus_id", "index"),
        *("vbios_version", "persistence_mode", "display_active", "pstate", "compute_mode"),
        *("compute_cap", "memory.total", "memory.reserved", "memory.used", "memory.free"),
        *("utilization.gpu", "utilization.memory", "utilization.encoder", "temperature.gpu"),
        *("temperature.memory", "fan.speed", "power.draw", "power.limit", "power.min_limit"),
        *("clocks.gr", "clocks.mem", "clocks.max.sm", "pcie.link.gen.current"),
        *("pcie.link.width.max", "ecc.mode.current", "mig.mode.current", "accounting.mode"),
    ],
)
def test_every_common_field_has_a_value(smi: Run, field: str) -> None:
    """One cell, nothing else."""
    done = smi(f"--query-gpu={field}", "--format=csv,noheader", "-i", "0")

    assert re.fullmatch(r"\S[^,\n]*\n", done.stdout)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (
            ("--query-gpu=name,cuda_version", "--format=csv"),
            'Field "cuda_version" is not a valid field to query.\n\n',
            2,
        ),
        (
            ("--query-gpu=name",),
            "\"--format=\" switch is missing. Please run 'nvidia-smi -h' for help.\n",
            2,
        ),
        (
            ("--sing",),
            "ERROR: Option --sing is not recognized. Please run 'nvidia-smi -h' for help.\n",
            2,
        ),
        (("-i", "2"), "No devices were found\n", 6),
        (("-i", "all"), "No devices were found\n", 6),
    ],
)
def test_mistakes_are_told_as_the_real_tool_tells_them(
    smi: Run, arguments: tuple[str, ...], words: str, code: int
) -> None:
    """On standard output, with its exit codes."""
    done = smi(*arguments)

    assert (done.stdout, done.stderr, done.returncode) == (words, "", code)


def test_the_table_has_the_columns_of_the_real_one(install: Callable[..., Run]) -> None:
    """To the blank; the date above it aside."""
    smi = install("H100 SXM", 80, 1)

    date, _, table = smi().stdout.partition("\n")

    assert re.fullmatch(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} {7}", date)
    assert table == TABLE_OF_ONE


def test_a_busy_machine_shows_it_everywhere(smi: Run) -> None:
    """Load, memory, power and the process, from the number in the file of the home."""
    query = "--query-gpu=utilization.gpu,memory.used,power.draw,pstate"
    apps = "--query-compute-apps=pid,process_name,used_memory"

    rows = smi(query, "--format=csv,noheader", "-i", "0", util="80\n").stdout
    processes = smi(apps, "--format=csv", "-i", "1").stdout

    assert rows == "80 %, 12282 MiB, 369.00 W, P0\n"
    assert processes == ("pid, process_name, used_gpu_memory [MiB]\n4242, python3, 12281 MiB\n")
    assert {len(line) for line in smi().stdout.splitlines()[1:] if line} == {91}


def test_an_idle_machine_runs_no_process(smi: Run) -> None:
    """Only the header is left."""
    assert smi("--query-compute-apps=pid", "--format=csv").stdout == "pid\n"


@pytest.mark.parametrize(
    ("text", "load"), [("", 0), ("50", 50), ("99.7\n", 99), ("250", 100), ("much", 0), ("-5", 0)]
)
def test_the_load_is_a_number_of_percent(smi: Run, text: str, load: int) -> None:
    """Whatever somebody wrote into the file."""
    done = smi("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", util=text)

    assert done.stdout == f"{load}\n" * 2


def test_gpus_are_listed_with_lasting_identities(smi: Run) -> None:
    """Each has its own."""
    lines = smi("-L").stdout.splitlines()
    shape = r"GPU (\d): NVIDIA GeForce RTX 4090 \(UUID: (GPU-[0-9a-f-]{36})\)"
    found = [re.fullmatch(shape, line) for line in lines]

    assert [match and match[1] for match in found] == ["0", "1"]
    assert len({match and match[2] for match in found}) == 2
    assert smi("-L").stdout.splitlines() == lines


def test_the_full_report_names_every_gpu(smi: Run) -> None:
    """In the sections of the real one."""
    report = smi("-q").stdout

    assert report.startswith("\n==============NVSMI LOG==============\n\nTimestamp  ")
    assert report.count("    Product Name                                       : NVIDIA") == 2
    assert "        Total                                          : 24564 MiB\n" in report


def test_a_long_name_is_cut_in_the_table_only(install: Callable[..., Run]) -> None:
    """The columns stay where they are."""
    smi = install("RTX PRO 6000 S", 96, 1)

    assert "|   0  NVIDIA RTX PRO 6000 Blac...    On  |" in smi().stdout
    assert "NVIDIA RTX PRO 6000 Blackwell Server Edition" in smi("-L").stdout
