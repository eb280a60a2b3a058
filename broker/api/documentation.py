"""The API's description: the OpenAPI document, a page that shows it, and a guide for agents."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Annotated

import openapi_ui_bundles
from aiohttp import hdrs, web
from pydantic import Field

from broker.api.answers import Answer, answer_of, conditional, tagged
from broker.api.routes import Media, Resource, Route, Tag
from broker.api.schemas import Schema
from broker.errors import NotFound

_PAGES = files("broker.api") / "pages"
_VIEWER = Path(openapi_ui_bundles.swagger_ui.static_path)
_FILES = {
    "docs.js": _PAGES,
    "swagger-ui-bundle.js": _VIEWER,
    "swagger-ui.css": _VIEWER,
    "favicon-32x32.png": _VIEWER,
}
"""What the page loads -> where it lies."""

_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page talks to this broker alone; the viewer draws with inline styles and data: images."""


Document = Annotated[
    dict[str, object],
    Field(description="An OpenAPI document.", examples=[{"openapi": "3.1.1"}]),
]
FileName = Annotated[str, Field(description="As the page names it.", examples=["docs.js"])]


class DocumentationRoutes(Resource):
    """Handlers of what describes the API."""

    def __init__(self, document: Schema) -> None:
        self._document = answer_of(document)

    async def document(self, request: web.Request) -> web.Response:
        return conditional(request, self._document)

    async def page(self, request: web.Request) -> web.Response:
        return _file(request, "docs.html", "text/html")

    async def file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        if name not in _FILES:
            raise NotFound("There is no such file.")
        return _file(request, name, _TYPES[PurePath(name).suffix])

    async def guide(self, request: web.Request) -> web.Response:
        return _file(request, "llms.txt", "text/plain")

    ROUTES = (
        Route(
            method="GET",
            path="/openapi.json",
            handler=document,
            operation="get_openapi_document",
            tag=Tag.DOCUMENTATION,
            summary="This document",
            answers={200: Document},
            is_conditional=True,
        ),
        Route(
            method="GET",
            path="/docs",
            handler=page,
            operation="get_docs",
            tag=Tag.DOCUMENTATION,
            summary="A page that shows this document",
            description="It needs nothing from other hosts.",
            answers={200: Media(("text/html",), "<!doctype html>")},
            is_conditional=True,
        ),
        Route(
            method="GET",
            path="/docs/{file}",
            handler=file,
            operation="get_docs_file",
            tag=Tag.DOCUMENTATION,
            summary="A file of that page",
            names={"file": FileName},
            answers={200: Media((*_TYPES.values(),))},
            errors=(NotFound,),
            is_conditional=True,
        ),
        Route(
            method="GET",
            path="/llms.txt",
            handler=guide,
            operation="get_guide",
            tag=Tag.DOCUMENTATION,
            summary="The whole way of a session on one page, for agents",
            answers={200: Media(("text/plain",), "# gpu-broker")},
            is_conditional=True,
        ),
    )


def _file(request: web.Request, name: str, kind: str) -> web.Response:
    sent: dict[str, str] = {
        hdrs.CONTENT_TYPE: f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
    }
    return conditional(request, _read(name), sent)


@cache
def _read(name: str) -> Answer:
    return tagged(_FILES.get(name, _PAGES).joinpath(name).read_bytes())
