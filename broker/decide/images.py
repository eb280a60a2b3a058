"""Which image a session runs, with which arguments and ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from broker.errors import Detail, ValidationFailed
from broker.model import Request, WorkloadType
from providers.base import LaunchMode, Template
from providers.docker_flags import parse_docker_flags


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What the machine is made to run."""

    image: str | None
    """None: the template's, else the provider's own image for SSH machines."""
    args: tuple[str, ...] = ()
    """Of the image's entrypoint; only in entrypoint mode."""
    ports: tuple[int, ...] = ()
    """Inside the machine, to be published beside SSH."""
    env: Mapping[str, str] = field(default_factory=dict)
    """To be added to the machine's environment."""
    api_port: int | None = None
    """The port that must answer HTTP; None outside of entrypoint mode."""
    ignored: tuple[str, ...] = ()
    """Fields of the request that have no effect beside the template."""


@dataclass(frozen=True, slots=True)
class _Server:
    """A ready image that serves a model."""

    image: str
    port: int
    model_flag: str
    quantization_flag: str


_VLLM = _Server("vllm/vllm-openai:latest", 8000, "--model", "--quantization")
_TGI = _Server(
    "ghcr.io/huggingface/text-generation-inference:latest", 80, "--model-id", "--quantize"
)
_USUAL_PORT = 8000


def plan_image(request: Request, template: Template | None = None) -> ImagePlan:
    """The image that `request` asks for: its template's, its own, or its model's server.

    `template` is the one that the request names, where it is at hand. Raises
    ValidationFailed for entrypoint mode without any image.
    """
    if request.template_hash_id is not None:
        given = {"docker_image": request.docker_image, "model_id": request.model_id}
        ignored = tuple(name for name, value in given.items() if value is not None)
        return replace(_planned(request, None, _usual_port(template)), ignored=ignored)
    if request.docker_image is not None:
        return _planned(request, request.docker_image, _USUAL_PORT)
    if request.model_id is not None:
        server = _TGI if request.workload_type is WorkloadType.LLM_TGI else _VLLM
        return _serving(request, server, request.model_id)
    if request.launch_mode is LaunchMode.ENTRYPOINT:
        needed = "needs docker_image, model_id or template_hash_id"
        raise ValidationFailed(
            f"The launch mode entrypoint {needed}.", details=[Detail("launch_mode", needed)]
        )
    return _planned(request, None, _USUAL_PORT)


def _usual_port(template: Template | None) -> int:
    ports = parse_docker_flags(template.env).ports if template else ()
    return ports[0] if ports else _USUAL_PORT


def _planned(request: Request, image: str | None, usual_port: int) -> ImagePlan:
    """`image` with the ports asked for; in entrypoint mode the first of them is the API's."""
    if request.launch_mode is LaunchMode.SSH:
        return ImagePlan(image, ports=request.exposed_ports)
    ports = request.exposed_ports or (usual_port,)
    return ImagePlan(image, ports=ports, api_port=ports[0])


def _serving(request: Request, server: _Server, model_id: str) -> ImagePlan:
    """A model's server, told what to serve: by arguments, or for SSH by the environment."""
    plan = _planned(request, server.image, server.port)
    if plan.api_port is None:
        env = {"MODEL_ID": model_id, "QUANTIZE": request.quantization}
        return replace(plan, env={name: value for name, value in env.items() if value})
    quantization = request.quantization
    quantized = (server.quantization_flag, quantization) if quantization is not None else ()
    args = (server.model_flag, model_id, "--port", str(plan.api_port), *quantized)
    return replace(plan, args=args)
