"""Which image a session runs."""

from __future__ import annotations

from typing import Any

import pytest

from broker.decide.images import plan_image
from broker.errors import ValidationFailed
from broker.model import Request, WorkloadType
from providers.base import LaunchMode
from tests.offers import a_request, a_template

VLLM = "vllm/vllm-openai:latest"
TGI = "ghcr.io/huggingface/text-generation-inference:latest"


def served(**fields: Any) -> Request:
    """A request in entrypoint mode."""
    return a_request(launch_mode=LaunchMode.ENTRYPOINT, **fields)


def test_a_plain_ssh_machine_runs_the_providers_own_image() -> None:
    """With the ports that were asked for, and no API."""
    plan = plan_image(a_request(exposed_ports=(8888,)))

    assert (plan.image, plan.args, plan.ports, plan.api_port) == (None, (), (8888,), None)


def test_an_image_of_ones_own_wins_over_the_models() -> None:
    """Its API is expected at port 8000 unless a port was named."""
    plan = plan_image(served(docker_image="me/api", model_id="a/b-7b"))

    assert (plan.image, plan.args, plan.ports, plan.api_port) == ("me/api", (), (8000,), 8000)


def test_the_first_exposed_port_is_the_apis() -> None:
    """All of them are published."""
    plan = plan_image(served(docker_image="me/api", exposed_ports=(9000, 9001)))

    assert (plan.ports, plan.api_port) == ((9000, 9001), 9000)


def test_a_model_is_served_by_vllm() -> None:
    """With the model and the quantization as its arguments."""
    plan = plan_image(served(model_id="a/b-7b", quantization="awq"))

    assert plan.image == VLLM
    assert plan.args == ("--model", "a/b-7b", "--port", "8000", "--quantization", "awq")
    assert (plan.ports, plan.api_port) == ((8000,), 8000)


def test_a_tgi_workload_is_served_by_tgi() -> None:
    """In its own words, at its own port."""
    request = served(model_id="a/b-7b", quantization="awq", workload_type=WorkloadType.LLM_TGI)
    plan = plan_image(request)

    assert plan.image == TGI
    assert plan.args == ("--model-id", "a/b-7b", "--port", "80", "--quantize", "awq")
    assert plan.api_port == 80


def test_a_model_server_listens_where_the_consumer_expects_it() -> None:
    """The exposed port is handed to the server."""
    plan = plan_image(served(model_id="a/b-7b", exposed_ports=(9000,)))

    assert plan.args == ("--model", "a/b-7b", "--port", "9000")
    assert plan.api_port == 9000


def test_over_ssh_the_model_stands_in_the_environment() -> None:
    """The entrypoint does not run there, so arguments would be lost."""
    plan = plan_image(a_request(model_id="a/b-7b", quantization="awq"))

    assert (plan.image, plan.args, plan.api_port) == (VLLM, (), None)
    assert plan.env == {"MODEL_ID": "a/b-7b", "QUANTIZE": "awq"}


def test_a_template_brings_its_own_image() -> None:
    """What was given beside it is told to have no effect."""
    template = a_template()
    request = served(template_hash_id=template.hash_id, docker_image="me/api")

    assert plan_image(request).image is None
    assert plan_image(request).ignored == ("docker_image",)
    assert plan_image(request).api_port == 8000
    assert plan_image(request, template).api_port == 1111


def test_entrypoint_mode_needs_something_to_run() -> None:
    """The field is named."""
    with pytest.raises(ValidationFailed) as caught:
        plan_image(served())

    assert [detail.field for detail in caught.value.details] == ["launch_mode"]
