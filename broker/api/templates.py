"""The templates that machines can be made from."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from broker.api import shapes
from broker.api.fields import SpelledTruth, Text
from broker.api.http import Query, json_response, parse_query
from broker.api.present import present_warning
from broker.api.routes import Resource, Route, Tag
from broker.decide.templates import TemplateFilter
from broker.errors import NotFound, ProviderUnavailable
from broker.usecases.templates import Templates
from providers.base import Template
from providers.docker_flags import parse_docker_flags


class TemplateQuery(Query):
    """Which templates to list."""

    name: Text | None = Field(None, description="A part of the name, whatever its case.")
    image: Text | None = Field(None, description="A part of the image, whatever its case.")
    provider: Text | None = Field(None, description="Only this provider's.")
    recommended: SpelledTruth | None = Field(None, description="Whether its provider likes it.")
    use_ssh: SpelledTruth | None = Field(None, description="Whether it brings an SSH server.")


class TemplateRoutes(Resource):
    """Handlers of `/api/v1/templates`."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    async def list_all(self, request: web.Request) -> web.Response:
        query = parse_query(TemplateQuery, request, self._templates.misnamed_provider)
        found = await self._templates.list(TemplateFilter(**query.model_dump()))
        answer: shapes.Templates = {
            "templates": [present_template(template) for template in found.templates],
            "count": len(found.templates),
            "warnings": [present_warning(warned) for warned in found.warnings],
        }
        return json_response(answer)

    async def get(self, request: web.Request) -> web.Response:
        template = await self._templates.get(request.match_info["hash_id"])
        return json_response(present_template(template))

    ROUTES = (
        Route(
            method="GET",
            path="/api/v1/templates",
            handler=list_all,
            operation="list_templates",
            tag=Tag.TEMPLATES,
            summary="List templates",
            query=TemplateQuery,
            answers={200: shapes.Templates},
            errors=(ProviderUnavailable,),
        ),
        Route(
            method="GET",
            path="/api/v1/templates/{hash_id}",
            handler=get,
            operation="get_template",
            tag=Tag.TEMPLATES,
            summary="Get a template",
            names={"hash_id": shapes.TemplateId},
            answers={200: shapes.Template},
            errors=(NotFound, ProviderUnavailable),
        ),
    )


def present_template(template: Template) -> shapes.Template:
    """The template object: the provider's own fields, and its docker flags as values."""
    flags = parse_docker_flags(template.env)
    return {
        "id": template.id,
        "hash_id": template.hash_id,
        "name": template.name,
        "provider": template.provider,
        "image": template.image,
        "tag": template.tag,
        "env": template.env,
        "env_vars": dict(flags.env),
        "ports": [*flags.ports],
        "onstart": template.onstart,
        "runtype": template.runtype,
        "use_ssh": template.use_ssh,
        "ssh_direct": template.ssh_direct,
        "recommended": template.recommended,
        "recommended_disk_space": template.recommended_disk_space,
        "extra_filters": template.extra_filters,
        "creator_id": template.creator_id,
        "created_at": template.created_at,
        "count_created": template.count_created,
    }
