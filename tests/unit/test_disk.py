"""How much disk a model needs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from broker.decide.disk import bytes_per_parameter, check_disk, estimate_disk, parse_parameters
from broker.errors import InsufficientDisk
from tests.offers import a_request, a_template


@pytest.mark.parametrize(
    ("model_id", "billions"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", "70"),
        ("Qwen/Qwen2.5-0.5B", "0.5"),
        ("Qwen/Qwen3-235B-A22B", "235"),
        ("EleutherAI/pythia-70m", "0.07"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "46.7"),
        ("someone/tiny-4x2b", "8"),
        ("deepseek-ai/DeepSeek-V2.5", "236"),
        ("deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct", "15.7"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "70"),
        ("meta-llama/Llama-4-Scout-17B-16E", "109"),
        ("unsloth/Llama-3-8B-bnb-4bit", "8"),
    ],
)
def test_the_name_of_a_model_tells_its_size(model_id: str, billions: str) -> None:
    """The largest figure in billions; millions; experts; a short list of names without figures."""
    assert Decimal(billions) == parse_parameters(model_id)


@pytest.mark.parametrize(
    "model_id", ["gpt2", "someone/my-finetune", "", "9" * 5000 + "b", "x/4bit"]
)
def test_a_name_without_a_size_tells_nothing(model_id: str) -> None:
    """Nothing is invented, however odd the name is."""
    assert parse_parameters(model_id) is None
    assert estimate_disk(model_id) is None


@pytest.mark.parametrize(
    ("model_id", "quantization", "size"),
    [
        ("a/b-7b", None, "2"),
        ("a/b-7b", "awq", "0.5625"),
        ("a/b-7B-AWQ", None, "0.5625"),
        ("a/b-7B-AWQ", "fp8", "1"),
        ("a/b-7b-fp32", None, "4"),
        ("a/b-7b.Q4_K_M-GGUF", None, "0.5"),
        ("a/b-7b", "something-new", "2"),
        ("deepseek-ai/DeepSeek-R1", None, "1"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", None, "2"),
    ],
)
def test_the_quantization_tells_the_bytes_per_parameter(
    model_id: str, quantization: str | None, size: str
) -> None:
    """What is asked for wins over the name; 16 bits otherwise."""
    assert Decimal(size) == bytes_per_parameter(model_id, quantization)


def test_an_estimate_is_weights_half_of_them_again_an_image_and_the_system() -> None:
    """7 billion in 16 bits: 14 + 7 + 10 + 5 GB, a fifth more recommended, up to the next five."""
    estimate = estimate_disk("a/b-7b")

    assert estimate is not None
    assert (estimate.minimum_gb, estimate.recommended_gb) == (36, 45)
    assert estimate.breakdown == {
        "model_weight_gb": 14,
        "download_buffer_gb": 7,
        "docker_image_gb": 10,
        "system_overhead_gb": 5,
        "minimum_gb": 36,
        "recommended_gb": 45,
        "model_id": "a/b-7b",
        "param_count_b": 7,
    }


def test_a_template_brings_a_bigger_image_and_a_floor() -> None:
    """What the template recommends is the least, whatever the model needs."""
    estimate = estimate_disk("a/b-7b", has_template=True, template_floor_gb=100)
    bare = estimate_disk(None, has_template=True, template_floor_gb=32)

    assert estimate is not None
    assert bare is not None
    assert estimate.breakdown["docker_image_gb"] == 15
    assert (estimate.minimum_gb, estimate.recommended_gb) == (100, 100)
    assert (bare.minimum_gb, bare.recommended_gb) == (32, 32)


def test_a_disk_that_is_too_small_is_refused_with_the_figures() -> None:
    """All figures are in the answer, and the field is named."""
    request = a_request(model_id="deepseek-ai/DeepSeek-V2.5", quantization="awq", disk_gb=50)
    with pytest.raises(InsufficientDisk) as caught:
        check_disk(request)

    assert caught.value.extra["requested_gb"] == 50
    assert caught.value.extra["minimum_gb"] == 215
    assert caught.value.extra["recommended_gb"] == 260
    assert caught.value.extra["breakdown"]["model_weight_gb"] == Decimal("132.75")
    assert [detail.field for detail in caught.value.details] == ["disk_gb"]


def test_a_disk_that_is_large_enough_or_cannot_be_judged_passes() -> None:
    """No model, an unknown model, or exactly the minimum."""
    check_disk(a_request(disk_gb=8))
    check_disk(a_request(model_id="someone/my-finetune", disk_gb=8))
    check_disk(a_request(model_id="a/b-7b", disk_gb=36))


def test_the_recommendation_of_a_template_is_checked_too() -> None:
    """A template that wants 32 GB is not run on 31."""
    template = a_template(recommended_disk_space=32)
    check_disk(a_request(template_hash_id=template.hash_id, disk_gb=32), template)
    with pytest.raises(InsufficientDisk):
        check_disk(a_request(template_hash_id=template.hash_id, disk_gb=31), template)
