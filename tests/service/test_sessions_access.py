"""What a consumer gets on a machine: keys, images, ports, environment."""

from __future__ import annotations

from typing import Any

import pytest

from broker.model import KeyType
from broker.ssh.keys import generate
from tests.service.conftest import Broker
from tests.service.scenarios import assert_sound, run, running
from tests.waiting import eventually


async def _served_model(broker: Broker, session: Any) -> str:
    """What the API of a session's machine says that it serves."""
    async with broker.client.get(f"{session['api_endpoint']}/v1/models") as response:
        assert 200 == response.status
        return str((await response.json())["data"][0]["id"])


async def test_a_key_of_ones_own_is_used_and_no_other_is_made(broker: Broker) -> None:
    """The answer holds no private key, and the consumer's own logs in."""
    pair = generate(KeyType.ED25519, "mine")
    status, body = await broker.rent(ssh_public_key=pair.public_line)
    assert (201, None) == (status, body["ssh_private_key"])
    session = await broker.until(body["session"]["id"], "running", "failed")

    assert "mine" == await run(session, pair.private_pem, "echo mine")


async def test_an_rsa_key_is_made_on_request(broker: Broker) -> None:
    """For consumers whose tools know no other."""
    status, body = await broker.rent(ssh_key_type="rsa")
    assert 201 == status
    assert "BEGIN RSA PRIVATE KEY" in body["ssh_private_key"]
    session = await broker.until(body["session"]["id"], "running", "failed")

    keys = await run(session, body["ssh_private_key"], "cat .ssh/authorized_keys")
    assert ["ssh-rsa", "ssh-ed25519"] == [line.split()[0] for line in keys.splitlines()]


async def test_without_managed_access_only_the_consumers_key_is_on_the_machine(
    broker: Broker,
) -> None:
    """It is verified with the key in memory, and the warnings say what is given up."""
    status, body = await broker.rent(managed_access=False, idle_threshold_minutes=10)
    assert 201 == status
    assert {"idle_unobservable", "verification_limited"} == {w["code"] for w in body["warnings"]}
    session = await broker.until(body["session"]["id"], "running", "failed")

    assert ("running", False) == (session["status"], session["managed_access"])
    keys = await run(session, body["ssh_private_key"], "cat .ssh/authorized_keys")
    assert 1 == len(keys.splitlines())


async def test_the_environment_and_the_start_command_reach_the_machine(broker: Broker) -> None:
    """They are sealed while they are needed, shown nowhere, and forgotten with the session."""
    status, body = await broker.rent(env={"TOKEN": "s3cr3t"}, on_start_cmd='echo "$TOKEN" >told')
    assert 201 == status
    session = await broker.until(body["session"]["id"], "running", "failed")

    async def told() -> bool:
        return "s3cr3t" == await run(session, body["ssh_private_key"], "cat told")

    await eventually(told)
    shown = [session, await broker.events(session["id"])]
    assert "s3cr3t" not in str(shown)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    left = await broker.parts.tools.store.confidential(session["id"])
    assert ({}, None) == (left.env, left.on_start_cmd)


async def test_a_templates_environment_reaches_the_machine(broker: Broker) -> None:
    """The request's own wins where both name a variable."""
    _, listed = await broker.call("GET", "/api/v1/templates?name=vLLM")
    (template,) = listed["templates"]
    assert "HF_HOME" in template["env_vars"]
    for own in ({}, {"HF_HOME": "/mine"}):
        status, body = await broker.rent(
            template_hash_id=template["hash_id"], env=own, gpu_type=None, consumer_id=f"{own}"
        )
        assert 201 == status, body
        session = await broker.until(body["session"]["id"], "running", "failed")
        told = await run(session, body["ssh_private_key"], 'echo "$HF_HOME"')
        assert (template["env_vars"] | own)["HF_HOME"] == told


# Entrypoint


async def test_an_image_of_ones_own_is_served_at_its_published_ports(broker: Broker) -> None:
    """The first port is the API's, and it answers when the session runs."""
    session = await running(
        broker, launch_mode="entrypoint", docker_image="me/server:1", exposed_ports=[9000, 9001]
    )

    assert ("me/server:1", {"9000", "9001"}) == (session["image"], set(session["ports"]))
    assert session["api_endpoint"].endswith(f":{session['ports']['9000']}")
    assert "me/server:1" == await _served_model(broker, session)
    assert session["known_hosts"], "the image has SSH as well"
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


@pytest.mark.parametrize(
    ("workload", "image"), [("llm_vllm", "vllm/"), ("llm_tgi", "text-generation-inference")]
)
async def test_a_model_is_served_by_the_image_that_suits_it(
    broker: Broker, workload: str, image: str
) -> None:
    """The image, its arguments and its port follow from the model."""
    model = "Qwen/Qwen2.5-7B-Instruct-AWQ"
    session = await running(
        broker,
        launch_mode="entrypoint",
        model_id=model,
        quantization="awq",
        workload_type=workload,
    )

    assert image in session["image"]
    assert (model, "awq") == (session["model_id"], session["quantization"])
    assert 1 == len(session["ports"])
    assert model == await _served_model(broker, session)


# Looking
