"""The templates that machines can be made from."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import Field

from broker.api.http import Query, Route, json_response, parse_query
from broker.api.models import NoQuery, Text
from broker.decide.templates import parse_docker_flags
from broker.usecases.templates import Templates
from providers.base import Template


class TemplateQuery(Query):
    """Which templates to list."""

    name: Text | None = Field(None, description="A part of the name, whatever its case.")


class TemplateRoutes:
    """Handlers of `/api/v1/templates`."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    def routes(self) -> list[Route]:
        """The table of these routes."""
        base = "/api/v1/templates"
        return [
            Route("GET", base, self.list, "List templates", TemplateQuery),
            Route("GET", f"{base}/{{hash_id}}", self.get, "Get a template", NoQuery),
        ]

    async def list(self, request: web.Request) -> web.Response:
        query = parse_query(TemplateQuery, request)
        found = await self._templates.list(query.name)
        return json_response(
            {
                "templates": [present_template(template) for template in found.templates],
                "count": len(found.templates),
                "warnings": found.warnings,
            }
        )

    async def get(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        template = await self._templates.get(request.match_info["hash_id"])
        return json_response(present_template(template))


def present_template(template: Template) -> dict[str, Any]:
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
        "env_vars": flags.env,
        "ports": flags.ports,
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
