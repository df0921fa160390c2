"""The API's description, of streams (OpenAPI 3.2) and problem documents, and its page."""

from collections.abc import Mapping
from copy import copy
from inspect import isasyncgenfunction, isgeneratorfunction
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI
from fastapi._compat import lenient_issubclass
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

#{% if cookiecutter.__uses.tokens %}
from .access.dependencies import PUBLIC
#{% endif %}
from .problems import PROBLEM
from .response import SERVER_RECEIVE, ItemsResponse

PAGES = Path(__file__).parent / "docs"
VALIDATION_ERROR = "HTTPValidationError"
SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"


class FieldError(BaseModel):
    """An invalid part of a request."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


class StreamingAPI(FastAPI):
    """A FastAPI application whose description documents streams and problem documents."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the server's `receive`; strip the values of headers (RFC 9110, section 5.5)."""
        scope[SERVER_RECEIVE] = receive
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope.get("headers", [])]
        await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Respond to an unexpected exception within the middleware, which adds its headers."""
        # Starlette calls the handler outside of all middleware.
        own, default = (self.exception_handlers.pop(key, None) for key in (500, Exception))
        self.user_middleware.append(Middleware(ServerErrorMiddleware, handler=own or default))
        return super().build_middleware_stack()

    def include_router(self, router: APIRouter, **options: Any) -> None:
        """Include a router; its GET routes also respond to HEAD, as in Starlette.

        Raises `ValueError` for a stream of another class than `StreamRoute`.
        """
        for route in iter_route_contexts(router.routes):
            endpoint = route.endpoint
            # `StreamRoute` replaces a generator function by a coroutine function.
            is_generator = isasyncgenfunction(endpoint) or isgeneratorfunction(endpoint)
            if is_generator and lenient_issubclass(route.response_class, ItemsResponse):
                raise ValueError(f"Invalid route {route.path!r}: expected route_class=StreamRoute")
        own: list[Any] = [each for each in router.routes if isinstance(each, APIRoute)]
        with_head = {each.path for each in own if "HEAD" in each.methods}
        for each in own:
            if "GET" in each.methods and each.path not in with_head:
                head = copy(each)
                head.methods, head.include_in_schema = {"HEAD"}, False
                router.routes.append(head)
        super().include_router(router, **options)

    def openapi(self) -> dict[str, Any]:
        """Return the description, without what FastAPI documents and the service does not send."""
        document = super().openapi()
        # The version that has `itemSchema`.
        document["openapi"] = "3.2.0"
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs") | {"Problem": schema}
        for unused in (VALIDATION_ERROR, "ValidationError"):
            schemas.pop(unused, None)
        problem = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    # A route can document a model; FastAPI's is not what the service sends.
                    content = str(response.get("content", VALIDATION_ERROR))
                    if status[0] in "45" and VALIDATION_ERROR in content:
                        response["content"] = problem
                    for content in response.get("content", {}).values():
                        if "itemSchema" in content:
                            schema = content.pop("schema", {})
                            schema.pop("title", None)  # of FastAPI: "Response 200 …"
                            content["itemSchema"] = content["itemSchema"] or schema
#{% if cookiecutter.__uses.tokens %}
                if not self.state.settings.api_tokens:
                    operation.pop("security", None)
#{% endif %}
        return document


async def get_docs() -> FileResponse:
    """Return the page of Swagger UI: local files, without inline scripts."""
    return FileResponse(PAGES / "docs.html")


def install_docs(app: FastAPI) -> None:
    """Add `/docs` to `app`."""
#{% if cookiecutter.__uses.tokens %}
    app.add_api_route(
        "/docs", get_docs, methods=["GET", "HEAD"], dependencies=[PUBLIC], include_in_schema=False
    )
#{% else %}
    app.add_api_route("/docs", get_docs, methods=["GET", "HEAD"], include_in_schema=False)
#{% endif %}
    app.mount("/static/swagger-ui", StaticFiles(directory=SWAGGER_UI))
    app.mount("/static/docs", StaticFiles(directory=PAGES))


def retry_later(description: str) -> dict[str, Any]:
    """Return the documentation of a temporary error, whose response has `Retry-After`."""
    seconds = {"description": "Seconds to wait", "schema": {"type": "integer"}}
    return {"description": description, "headers": {"Retry-After": seconds}}


STREAM_ERRORS: dict[int | str, dict[str, Any]] = {
    429: retry_later("The client has too many open streams."),
    503: retry_later("The stream cannot be started now."),
}


def stream_responses(
    description: str, item: Mapping[str, Any], examples: Mapping[str, str]
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that streams.

    `item` is the JSON schema of an item; `examples` has the bytes on the wire for each media type,
    which the description repeats: pages show an example of JSON lines as one string.
    """
    content: dict[str, Any] = {media_type: {"itemSchema": item} for media_type in examples}
    for media_type, example in examples.items():
        if example:
            shown = {"summary": "On the wire", "serializedValue": example}
            content[media_type]["examples"] = {"wire": shown}
            description += f"\n\n```text\n{example.strip()}\n```"
    return {200: {"description": description, "content": content}, **STREAM_ERRORS}


def item_responses(media_type: str, status: int, item: Any) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that streams items of the type `item`."""
    # FastAPI merges the schema of `model` into its own, of text: `None` leaves its type out.
    content = {media_type: {"schema": {"type": None}, "itemSchema": {}}}
    return {status: {"model": item, "content": content}, **STREAM_ERRORS}
