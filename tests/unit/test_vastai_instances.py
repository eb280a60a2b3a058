"""What Vast.ai says of one instance: its state, its addresses, its price."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from providers.base import BootFailure, Endpoint, Instance, InstanceStatus
from providers.errors import BadResponse
from providers.vastai.boot import parse_status
from providers.vastai.wire import parse_instance, parse_page
from tests.unit.vastai_rows import NOW, a_row, rows_like

DIRECT = Endpoint("203.0.113.9", 40022)
PROXY = Endpoint("ssh5.vast.ai", 18930)
CDI = (
    "Error response from daemon: failed to create task: OCI runtime create failed: "
    "could not apply: unresolvable CDI devices D.0/gpu=0"
)
STOPPED = {"cur_state": "stopped", "next_state": "stopped", "intended_status": "stopped"}


def read(**changes: Any) -> Instance:
    """The instance in a row with these changes."""
    instance = parse_instance(a_row(**changes), NOW)
    assert instance is not None
    return instance


def test_a_row_becomes_an_instance() -> None:
    """Every field has its place, and white space of the wire is gone."""
    assert read() == Instance(
        id="48738931",
        label="gpub-dep-abcdefghij-29000000-1",
        status=InstanceStatus.RUNNING,
        detail="success, running nvidia/cuda/ssh",
        ssh=(DIRECT, PROXY),
        ports={8000: Endpoint("203.0.113.9", 40023)},
        price_per_hour=Decimal("0.2555555555555556"),
        created_at=datetime(2026, 9, 21, 14, 13, 20, 500000, tzinfo=UTC),
        gpu_type="RTX 4090",
        gpu_count=2,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"actual_status": None}, InstanceStatus.STARTING),
        ({"actual_status": ...}, InstanceStatus.STARTING),
        ({"actual_status": 7}, InstanceStatus.STARTING),
        ({"actual_status": "created"}, InstanceStatus.STARTING),
        ({"actual_status": "loading"}, InstanceStatus.STARTING),
        ({"actual_status": "rebooting"}, InstanceStatus.STARTING),
        ({"actual_status": "recycling"}, InstanceStatus.STARTING),
        ({"actual_status": "scheduling"}, InstanceStatus.STOPPED),
        ({"actual_status": "a word of tomorrow"}, InstanceStatus.STARTING),
        ({"actual_status": "loading", **STOPPED}, InstanceStatus.STARTING),
        ({"actual_status": "created", "cur_state": "stopped"}, InstanceStatus.STARTING),
        ({"actual_status": " Running\n"}, InstanceStatus.RUNNING),
        ({"actual_status": "stopped", **STOPPED}, InstanceStatus.STOPPED),
        ({"actual_status": "frozen"}, InstanceStatus.STOPPED),
        ({"actual_status": "exited"}, InstanceStatus.OFFLINE),
        ({"actual_status": "unknown"}, InstanceStatus.OFFLINE),
        ({"actual_status": "offline"}, InstanceStatus.OFFLINE),
        ({"cur_state": "unloaded"}, InstanceStatus.ENDING),
        ({"cur_state": "unloaded", "actual_status": None}, InstanceStatus.STARTING),
        (
            {"cur_state": "unloaded", "actual_status": None, "next_state": "unloaded"},
            InstanceStatus.ENDING,
        ),
    ],
)
def test_every_state_has_one_word_of_ours(
    changes: dict[str, Any], expected: InstanceStatus
) -> None:
    """What is not known is on its way; none of these says why it would fail."""
    instance = read(**changes)

    assert (instance.status, instance.failure) == (expected, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"actual_status": "created", **STOPPED}, BootFailure.HOST),
        ({"actual_status": "created", "status_msg": CDI, **STOPPED}, BootFailure.GPU_RUNTIME),
        ({"actual_status": "loading", "status_msg": CDI}, BootFailure.GPU_RUNTIME),
        ({"actual_status": "exited", "status_msg": CDI}, BootFailure.GPU_RUNTIME),
        (
            {
                "actual_status": "created",
                "status_msg": "nvidia-container-cli: initialization error: libnvidia-ml.so.1: "
                "cannot open shared object file: no such file or directory",
            },
            BootFailure.GPU_RUNTIME,
        ),
        (
            {
                "actual_status": "loading",
                "status_msg": "Error response from daemon: manifest for a/b:c not found: "
                "manifest unknown: manifest unknown\n",
            },
            BootFailure.IMAGE,
        ),
        (
            {"actual_status": None, "status_msg": "pull access denied for a/b, repository does"},
            BootFailure.IMAGE,
        ),
        (
            {"actual_status": "loading", "status_msg": "unauthorized: authentication required"},
            BootFailure.IMAGE,
        ),
        (
            {
                "actual_status": "created",
                "status_msg": "OCI runtime create failed: runc create failed: exec: "
                '"serve": executable file not found in $PATH',
            },
            BootFailure.IMAGE,
        ),
    ],
)
def test_a_boot_that_failed_says_why(changes: dict[str, Any], expected: BootFailure) -> None:
    """The host, its GPU runtime, or the image: each is dealt with in its own way."""
    instance = read(**changes)

    assert (instance.status, instance.failure) == (InstanceStatus.FAILED, expected)


@pytest.mark.parametrize(
    "message",
    [
        "latest: Pulling from acme/unauthorized",
        "acme/not-found:latest: Pulling from acme/not-found",
        "E: Unable to locate package foo: not found",
        "0a1b2c: Downloading [=> ] 12MB/1.2GB",
    ],
)
def test_an_image_may_be_called_anything(message: str) -> None:
    """Progress that has a bad word in it is progress."""
    status, failure = parse_status({"actual_status": "loading", "status_msg": message})
    assert (status, failure) == (InstanceStatus.STARTING, None)


@pytest.mark.parametrize("message", [CDI, "manifest unknown"])
def test_an_old_message_does_not_fail_a_running_instance(message: str) -> None:
    """The marketplace keeps the line of an earlier try."""
    instance = read(status_msg=message)

    assert (instance.status, instance.failure) == (InstanceStatus.RUNNING, None)


def test_progress_of_a_pull_is_no_failure() -> None:
    """While it loads, the message is one line of `docker pull`."""
    instance = read(actual_status="loading", status_msg="59729b65119e: Pull complete\n")

    assert instance.status is InstanceStatus.STARTING
    assert instance.detail == "59729b65119e: Pull complete"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ports": ...}, (PROXY,)),
        ({"ports": None}, (PROXY,)),
        ({"ports": {}}, (PROXY,)),
        ({"ports": [8080, 8081]}, (PROXY,)),
        ({"ports": {"22/tcp": None}}, (PROXY,)),
        ({"ports": {"22/tcp": [{"HostPort": ""}]}}, (PROXY,)),
        ({"ports": {"22/tcp": [{"HostPort": "0"}]}}, (PROXY,)),
        ({"ports": {"22/tcp": [{"HostPort": "70000"}]}}, (PROXY,)),
        ({"ports": {"22/tcp": [None, {"HostPort": 40022}]}}, (DIRECT, PROXY)),
        ({"public_ipaddr": None}, (PROXY,)),
        ({"public_ipaddr": "192.168.1.20"}, (PROXY,)),
        ({"public_ipaddr": "10.1.2.3"}, (PROXY,)),
        ({"public_ipaddr": "172.17.0.1"}, (PROXY,)),
        ({"public_ipaddr": "100.64.0.1"}, (PROXY,)),
        ({"public_ipaddr": "fd00::1"}, (PROXY,)),
        ({"public_ipaddr": "::ffff:10.0.0.1"}, (PROXY,)),
        ({"public_ipaddr": "-oProxyCommand=x"}, (PROXY,)),
        ({"public_ipaddr": "two words"}, (PROXY,)),
        ({"public_ipaddr": "999.1.1.1"}, (PROXY,)),
        ({"public_ipaddr": "127.0.0.1"}, (Endpoint("127.0.0.1", 40022), PROXY)),
        ({"public_ipaddr": "gpu.example.org"}, (Endpoint("gpu.example.org", 40022), PROXY)),
        ({"ssh_host": None}, (DIRECT,)),
        ({"ssh_host": "192.168.1.10"}, (DIRECT,)),
        ({"ssh_port": None}, (DIRECT,)),
        ({"ssh_port": "18930"}, (DIRECT, PROXY)),
        ({"ssh_port": 18930.0}, (DIRECT, PROXY)),
        ({"ssh_port": 1.5}, (DIRECT,)),
        ({"ssh_port": 65535, "image_runtype": "jupyter_proxy ssh_proxy"}, (DIRECT,)),
        (
            {"image_runtype": "jupyter_direc ssh_direc ssh_proxy"},
            (DIRECT, Endpoint("ssh5.vast.ai", 18931)),
        ),
        ({"image_runtype": "args"}, (DIRECT,)),
        ({"image_runtype": "args", "ports": {}}, ()),
    ],
)
def test_ssh_addresses_are_whole_and_public_or_not_told(
    changes: dict[str, Any], expected: tuple[Endpoint, ...]
) -> None:
    """Direct first, the proxy as the fallback; one port higher for Jupyter."""
    assert read(**changes).ssh == expected


def test_published_ports_are_those_of_tcp_beside_ssh() -> None:
    """A port that cannot be one is left out."""
    bound = [{"HostPort": "40099"}]
    ports = {"22/tcp": bound, "80/tcp": bound, "90/udp": bound, "70000/tcp": bound, "x/tcp": bound}

    assert read(ports=ports).ports == {80: Endpoint("203.0.113.9", 40099)}


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"id": "48738931"}, "id", "48738931"),
        ({"id": 48738931.0}, "id", "48738931"),
        ({"label": None}, "label", None),
        ({"label": ""}, "label", None),
        ({"label": 7}, "label", None),
        ({"dph_total": "0.25"}, "price_per_hour", Decimal("0.25")),
        ({"dph_total": None}, "price_per_hour", None),
        ({"dph_total": 0}, "price_per_hour", None),
        ({"dph_total": math.nan}, "price_per_hour", None),
        ({"dph_total": "free"}, "price_per_hour", None),
        ({"dph_total": 10**400}, "price_per_hour", None),
        ({"dph_total": "1e400"}, "price_per_hour", None),
        ({"start_date": "1790000000"}, "created_at", datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)),
        ({"start_date": None}, "created_at", None),
        ({"start_date": -1}, "created_at", None),
        ({"start_date": 4102444800}, "created_at", None),
        ({"start_date": 1e300}, "created_at", None),
        ({"num_gpus": "2"}, "gpu_count", 2),
        ({"num_gpus": 0}, "gpu_count", None),
        ({"gpu_name": None}, "gpu_type", None),
        ({"status_msg": None}, "detail", ""),
        ({"status_msg": "a\x00\x1b[31mb\n\n c"}, "detail", "a [31mb c"),
        ({"extra_env": {"TZ": "PDT"}}, "price_per_hour", Decimal("0.2555555555555556")),
        ({"extra_env": None}, "gpu_count", 2),
    ],
)
def test_odd_values_survive_or_are_unknown(
    changes: dict[str, Any], name: str, expected: object
) -> None:
    """Never an error, and never a guess."""
    assert getattr(read(**changes), name) == expected


def test_the_words_of_the_marketplace_are_short_and_hold_no_key() -> None:
    """An instance key is 64 hexadecimal digits."""
    instance = read(actual_status="loading", status_msg="token " + "ab12" * 16 + " x" * 500)

    assert instance.detail.startswith("token *** x x")
    assert len(instance.detail) == 300


@pytest.mark.parametrize(
    "row", [None, [], "x", {}, {"id": None}, {"id": True}, {"id": "a/../b"}, {"id": -1}]
)
def test_without_an_id_there_is_no_instance(row: object) -> None:
    """An id goes into the paths of further calls: it is a number or a plain word."""
    assert parse_instance(row, NOW) is None


@given(row=rows_like(a_row()))
def test_every_row_with_an_id_is_an_instance(row: dict[str, Any]) -> None:
    """Any field may hold anything; a page with such a row is whole or no knowledge."""
    instance = parse_instance(row, NOW)

    if instance is None:
        with pytest.raises(BadResponse):
            parse_page({"instances": [row]}, NOW)
    else:
        assert parse_page({"instances": [row]}, NOW).instances == (instance,)
        assert len(instance.detail) <= 300
