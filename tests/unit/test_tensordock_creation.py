"""The call that rents at TensorDock: what it says, and which machine its answer names."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from providers.base import LaunchMode
from providers.errors import InvalidRequest
from providers.tensordock.creation import SSH_USER, images_for, parse_created, present_creation
from tests.offers import an_offer
from tests.unit.tensordock_rows import BROKERS, LABEL, MINE, MODEL, NOW, SITE, a_spec, offered
from tests.unit.vastai_rows import anything

CUT_OFF = "The value of TOKEN would be cut off: it has a # or a new line."


def attributes(**fields: Any) -> dict[str, Any]:
    """What the creation says of the machine."""
    body: Any = present_creation(a_spec(**fields), "ubuntu2404")
    assert (set(body), set(body["data"])) == ({"data"}, {"type", "attributes"})
    assert body["data"]["type"] == "virtualmachine"
    return dict(body["data"]["attributes"])


def commands(**fields: Any) -> list[str]:
    """What the first boot runs."""
    return list(attributes(**fields)["cloud_init"]["runcmd"])


def test_a_creation_asks_for_the_machine_that_was_offered() -> None:
    """Its size is the one in the price, and the label goes with the call itself."""
    asked = attributes()
    first_boot = asked.pop("cloud_init")

    assert asked == {
        "name": LABEL,
        "type": "virtualmachine",
        "image": "ubuntu2404",
        "resources": {
            "vcpu_count": 16,
            "ram_gb": 64,
            "storage_gb": 100,
            "gpus": {MODEL: {"count": 2}},
        },
        "location_id": SITE,
        "ssh_key": MINE,
        "port_forwards": [{"protocol": "tcp", "internal_port": 22, "external_port": 22}],
    }
    assert set(first_boot) == {"package_update", "runcmd"}


def test_ports_are_forwarded_beside_that_of_ssh() -> None:
    """Each once."""
    forwards = attributes(ports=(8000, 22, 8000))["port_forwards"]

    assert [forward["internal_port"] for forward in forwards] == [22, 8000]


def test_where_no_port_is_forwarded_the_machine_has_an_address_of_its_own() -> None:
    """It is one or the other."""
    features = {"port_forwarding_available": False, "dedicated_ip_available": True}
    asked = attributes(offer=offered(network_features=features))

    assert asked["useDedicatedIp"] is True
    assert "port_forwards" not in asked


@pytest.mark.parametrize(("disk_gb", "expected"), [(8, 100), (50, 100), (100, 100), (250, 250)])
def test_the_disk_is_never_smaller_than_the_marketplace_makes(disk_gb: int, expected: int) -> None:
    """The price counts with the same."""
    assert attributes(disk_gb=disk_gb)["resources"]["storage_gb"] == expected


def test_every_key_goes_on_the_machine_by_the_first_boot_as_well(tmp_path: Path) -> None:
    """The call takes one only, and it is not always put in its place."""
    script = commands()[0].replace(f"/home/{SSH_USER}", shlex.quote(str(tmp_path)))
    subprocess.run(["sh", "-c", script.partition("; chown")[0]], check=True)  # noqa: S603, S607

    written = tmp_path / ".ssh" / "authorized_keys"
    assert written.read_text() == f"{MINE}\n{BROKERS}\n"
    assert (written.stat().st_mode & 0o777, written.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert script.endswith(f"chown -R user:user {shlex.quote(str(tmp_path))}/.ssh")


def test_the_environment_reaches_every_login(tmp_path: Path) -> None:
    """And its values are never read by a shell."""
    file = tmp_path / "environment"
    [_, command, *_] = commands(env={"A": "1", "B": "it's $HOME"})
    command = command.replace("/etc/environment", shlex.quote(str(file)))
    subprocess.run(["sh", "-c", command], check=True)  # noqa: S603, S607

    assert file.read_text() == "A=1\nB=it's $HOME\n"


def test_the_consumers_script_runs_last_and_with_its_environment() -> None:
    """After the keys and the driver: it may need both, and may never end."""
    first_boot = attributes(env={"A": "b c"}, on_start="touch /x\nexit 1")["cloud_init"]

    assert first_boot["write_files"] == [
        {
            "path": "/opt/gpu-broker/on-start.sh",
            "content": "touch /x\nexit 1",
            "owner": "root:root",
            "permissions": "0700",
        }
    ]
    assert first_boot["runcmd"][-1] == "env 'A=b c' bash /opt/gpu-broker/on-start.sh"
    assert "nvidia-smi" in first_boot["runcmd"][-2]
    assert commands(on_start="x")[-1] == "env bash /opt/gpu-broker/on-start.sh"


def test_the_first_boot_is_commands_that_a_shell_can_read() -> None:
    """Texts, in no other keys than those that are taken."""
    first_boot = attributes(env={"A": "1"}, on_start="x")["cloud_init"]

    assert set(first_boot) <= {
        "package_update",
        "package_upgrade",
        "packages",
        "write_files",
        "runcmd",
    }
    for command in first_boot["runcmd"]:
        subprocess.run(["sh", "-n", "-c", command], check=True)  # noqa: S603, S607


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "l" * 61}, "The label has 61 characters; TensorDock takes at most 60."),
        (
            {"on_start": "x" * 4097},
            "The start script has 4097 characters; TensorDock takes at most 4096.",
        ),
        (
            {"env": {"TOKEN": "s" * 4092}},
            "The environment has 4097 characters; TensorDock takes at most 4096.",
        ),
        (
            {"ports": tuple(range(1000, 1033))},
            "The list of ports has 33 ports; TensorDock takes at most 32.",
        ),
        ({"env": {"-h box": "1"}}, "-h box cannot be the name of a variable."),
        (
            {"env": {"TOKEN": "a\nb"}},
            "The value of TOKEN would be cut off: it has a # or a new line.",
        ),
        (
            {"env": {"TOKEN": "a#b"}},
            "The value of TOKEN would be cut off: it has a # or a new line.",
        ),
        ({"public_keys": ()}, "A machine of TensorDock needs a key that can log in."),
        ({"offer": an_offer("7")}, "cloud-7 is no offer of TensorDock."),
        (
            {"offer": replace(offered(), traits={})},
            f"tensordock-{SITE}_{MODEL}_2 is no offer of TensorDock.",
        ),
    ],
)
def test_what_the_marketplace_would_not_take_is_refused_here(
    fields: dict[str, Any], message: str
) -> None:
    """The sentence names what is wrong, and never a value."""
    with pytest.raises(InvalidRequest) as refused:
        present_creation(a_spec(**fields), "ubuntu2404")

    assert str(refused.value) == message


@pytest.mark.parametrize(
    "fields",
    [
        {"launch_mode": LaunchMode.ENTRYPOINT},
        {"args": ("--model",)},
        {"template_hash_id": "a8a4"},
        {"image": "nvidia/cuda"},
        {"watchdog_at": NOW + timedelta(hours=1)},
    ],
)
def test_what_the_marketplace_does_not_have_is_refused_here(fields: dict[str, Any]) -> None:
    """It rents virtual machines, not containers."""
    with pytest.raises(InvalidRequest):
        present_creation(a_spec(**fields), "ubuntu2404")


def test_other_images_are_tried_after_the_wanted_one() -> None:
    """Each once."""
    assert images_for(None)[0] == "ubuntu2404"
    assert images_for("ubuntu2204")[0] == "ubuntu2204"
    assert images_for("mine")[:2] == ("mine", "ubuntu2404_ml_everything")
    for wanted in (None, "ubuntu2204", "ubuntu2404"):
        assert len(set(images_for(wanted))) == len(images_for(wanted)) > 2


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"data": {"type": "virtualmachine", "id": "a-1", "status": "running"}}, "a-1"),
        ({"data": {"attributes": {"id": "a-1"}}}, "a-1"),
        ({"data": {"id": "", "attributes": {"id": "a-1"}}}, "a-1"),
        ({"id": "a-1", "status": "queued"}, "a-1"),
        ({"data": {"id": "a-1"}, "error": "half done"}, "a-1"),
        ({"id": "request-7", "error": "No."}, None),
        ({"data": {"id": ""}}, None),
        ({"data": {"id": None}}, None),
        ({"data": {"id": "a/b"}}, None),
        ({"data": {}}, None),
        ({"data": []}, None),
        ({}, None),
        ([], None),
        (None, None),
        ("a-1", None),
    ],
)
def test_an_answer_names_the_machine_that_was_made(payload: object, expected: str | None) -> None:
    """Beside an error too: that machine costs money."""
    assert parse_created(payload) == expected


@given(payload=anything)
def test_no_answer_raises(payload: object) -> None:
    """Whatever it is."""
    assert isinstance(parse_created({"data": payload}), str | None)
