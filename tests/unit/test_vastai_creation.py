"""The call that rents on Vast.ai: what it says, and what its answer means."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import LaunchMode, LaunchSpec
from providers.errors import BadResponse, InvalidRequest
from providers.vastai.creation import DEFAULT_IMAGE, Creation, parse_creation, present_creation
from tests.offers import an_offer
from tests.unit.vastai_rows import anything

LABEL = "gpub-dep-abcdefghij-29000000-1"


def a_spec(**fields: Any) -> LaunchSpec:
    """An SSH machine with nothing else asked for."""
    return LaunchSpec(**{"offer": an_offer(), "label": LABEL, "public_keys": (), **fields})


def test_the_smallest_creation_sends_no_key_that_it_does_not_need() -> None:
    """A null would override what a template brings; the label goes with the call itself."""
    assert present_creation(a_spec()) == {
        "client_id": "me",
        "label": LABEL,
        "image": DEFAULT_IMAGE,
        "disk": 50,
        "runtype": "ssh_direc ssh_proxy",
        "cancel_unavail": True,
        "target_state": "running",
    }


def test_an_ssh_machine_brings_its_environment_ports_and_script() -> None:
    """Ports stand in the environment, which logins see through a file that the script writes."""
    body = present_creation(
        a_spec(image="a/b:c", env={"A": "1"}, ports=(8000, 9000), on_start="touch /x\n", disk_gb=80)
    )

    assert (body["image"], body["disk"]) == ("a/b:c", 80)
    assert body["env"] == {"A": "1", "-p 8000:8000": "1", "-p 9000:9000": "1"}
    assert body["onstart"] == "env >> /etc/environment\ntouch /x"


def test_an_entrypoint_machine_runs_its_image_with_its_arguments() -> None:
    """There is no SSH server, and no login to export an environment for."""
    spec = a_spec(
        launch_mode=LaunchMode.ENTRYPOINT,
        image="vllm/vllm-openai:latest",
        args=("--model", "a b"),
        env={"A": "1"},
        ports=(8000,),
    )

    body = present_creation(spec)

    assert (body["runtype"], body["args"]) == ("args", ["--model", "a b"])
    assert "onstart" not in body
    assert "args" not in present_creation(a_spec(launch_mode=LaunchMode.ENTRYPOINT, image="a"))


def test_a_template_keeps_what_it_brings() -> None:
    """Its image, arguments and start script; only the way of access is overridden."""
    body = present_creation(a_spec(template_hash_id="a8a4", env={"A": "1"}))

    assert body["template_hash_id"] == "a8a4"
    assert body["runtype"] == "ssh_direc ssh_proxy"
    assert body["env"] == {"A": "1"}
    assert body.keys().isdisjoint({"image", "onstart", "args"})
    assert present_creation(a_spec(template_hash_id="a8a4", on_start="x"))["onstart"] == "x"


def test_the_disk_is_never_smaller_than_the_marketplace_makes() -> None:
    """Eight GB."""
    assert present_creation(a_spec(disk_gb=5))["disk"] == 8


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "l" * 257}, "The label has 257 characters; Vast.ai takes at most 256."),
        ({"image": "i" * 1025}, "The image has 1025 characters; Vast.ai takes at most 1024."),
        (
            {"on_start": "x" * 4097},
            "The start script with the arguments has 4097 characters; Vast.ai takes at most 4096.",
        ),
        (
            {"on_start": "x" * 4000, "args": ("y" * 97,)},
            "The start script with the arguments has 4097 characters; Vast.ai takes at most 4096.",
        ),
        (
            {"env": {"TOKEN": "s" * 257}},
            "The value of TOKEN has 257 characters; Vast.ai takes at most 256.",
        ),
        (
            {"env": {f"V{n:04}": "s" * 200 for n in range(160)}},
            "The environment has 32800 characters; Vast.ai takes at most 32768.",
        ),
        (
            {"ports": tuple(range(1, 66))},
            "The list of ports has 65 ports; Vast.ai takes at most 64.",
        ),
        ({"env": {"-h box": "1"}}, "-h box cannot be the name of a variable."),
    ],
)
def test_what_the_marketplace_would_not_take_is_refused_here(
    fields: dict[str, Any], message: str
) -> None:
    """The sentence names what is too long, how long it is, and the limit; never a value."""
    with pytest.raises(InvalidRequest) as refused:
        present_creation(a_spec(**fields))

    assert str(refused.value) == message


@pytest.mark.parametrize(
    "fields",
    [
        {"label": "l" * 256},
        {"image": "i" * 1024},
        {"on_start": "x" * 4096},
        {"env": {"TOKEN": "s" * 256}},
        {"ports": tuple(range(1, 65))},
    ],
)
def test_what_is_as_long_as_it_may_be_is_taken(fields: dict[str, Any]) -> None:
    """The limits themselves are within the limits."""
    assert present_creation(a_spec(**fields))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {"success": True, "new_contract": 33402296, "instance_api_key": "secret"},
            Creation("33402296", is_started=True),
        ),
        ({"new_contract": "4242"}, Creation("4242", is_started=True)),
        (
            {"success": False, "new_contract": 7, "msg": "bid is too low\n"},
            Creation("7", is_started=False, detail="bid is too low"),
        ),
        ({"success": None, "new_contract": 7}, Creation("7", is_started=False)),
    ],
)
def test_an_instance_that_was_made_is_known_whether_it_started_or_not(
    payload: object, expected: Creation
) -> None:
    """A failure that names a contract has made an instance, which bills its disk."""
    assert parse_creation(json.dumps(payload)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "<html>", "null", "[]", '"ok"', "{}", '{"success": true}', '{"msg": "hello"}'),
        '{"success": true, "new_contract": null}',
        '{"success": false, "error": "no_such_ask", "ask_id": 5}',
        '{"success": false, "error": "invalid_args", "new_contract": null}',
    ],
)
def test_an_answer_that_names_no_instance_made_none_that_is_known(text: str) -> None:
    """Whether one was made all the same is read from the rest of the answer."""
    assert parse_creation(text) is None


@pytest.mark.parametrize("contract", [[7], {}, True, 1.5])
def test_an_instance_without_a_name_leaves_the_outcome_open(contract: object) -> None:
    """It is looked for by its label."""
    with pytest.raises(BadResponse):
        parse_creation(json.dumps({"success": False, "new_contract": contract}))


@given(
    payload=anything
    | st.dictionaries(st.sampled_from(["success", "new_contract", "msg", "error"]), anything)
)
def test_no_answer_raises_anything_else(payload: object) -> None:
    """Any field may hold anything."""
    with suppress(BadResponse):
        parse_creation(json.dumps(payload, default=str))
