"""Errors as problem documents (RFC 9457)."""

import json
#{% if cookiecutter.request_id or (cookiecutter.sse and cookiecutter.event_broker == "redis") %}
import logging
#{% endif %}
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
#{% if cookiecutter.sse and cookiecutter.event_broker == "redis" %}
from redis.exceptions import RedisError
#{% endif %}
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Mount
#{% if cookiecutter.request_id %}

from .middleware.request_id import request_id
#{% endif %}
#{% if cookiecutter.request_id or (cookiecutter.sse and cookiecutter.event_broker == "redis") %}

logger = logging.getLogger(__name__)
#{% endif %}

MAX_ERRORS = 20
PROBLEM = "application/problem+json"
SCHEMAS = "#/components/schemas/"


class Misfit(BaseModel):
    """A part of a request that does not fit, and why."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """What went wrong with a request (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Misfit] = []


PROBLEM_SCHEMAS = models_json_schema([(Problem, "validation")], ref_template=SCHEMAS + "{model}")


class ProblemResponse(Response):
    """A problem document; `members` extend it (RFC 9457, section 3.2)."""

    media_type = PROBLEM

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        title = HTTPStatus(status).phrase
        document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        super().__init__(json.dumps(document | members), status, headers)


async def http_problem(request: Request, error: HTTPException) -> Response:
    """Answer an `HTTPException`."""
    if error.status_code in (204, 304):
        return Response(status_code=error.status_code, headers=error.headers)
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := allowed_methods(request)):
        headers["Allow"] = methods
    return ProblemResponse(error.status_code, str(error.detail), headers)


def allowed_methods(request: Request) -> str:
    """Return what `Allow` has to say (RFC 9110, section 10.2.1), or nothing for a mounted folder.

    Starlette says it of one route, and the methods of a path may be those of several.
    """
    target = {name: request.scope[name] for name in ("type", "path", "root_path")}
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    return ", ".join(
        method
        for method in HTTPMethod
        if any(route.matches({**target, "method": method})[0] is Match.FULL for route in routes)
    )


async def validation_problem(_: Request, error: RequestValidationError) -> Response:
    """Answer a request that does not fit: 422, with an entry in `errors` for the first misfits."""
    errors = [{"loc": each["loc"], "msg": each["msg"]} for each in error.errors()[:MAX_ERRORS]]
    detail = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors)
    return ProblemResponse(422, detail, errors=errors)


#{% if cookiecutter.sse and cookiecutter.event_broker == "redis" %}
async def broker_problem(_: Request, error: RedisError) -> Response:
    """Answer what needs the broker while it is away: 503. The server logs why."""
    logger.warning("The broker does not answer: %s", error)
    return ProblemResponse(503, "The broker of events does not answer.", {"Retry-After": "5"})


#{% endif %}
#{% if cookiecutter.request_id %}
async def server_problem(_: Request, error: Exception) -> Response:
    """Answer what nobody expected: 500. The server logs the traceback, the client never sees it."""
    logger.error("request failed request_id=%s error=%r", request_id.get(), error)
#{% else %}
async def server_problem(_: Request, __: Exception) -> Response:
    """Answer what nobody expected: 500. The server logs the traceback, the client never sees it."""
#{% endif %}
    return ProblemResponse(500, "The server failed to answer this request.")


ProblemHandler = Callable[[Request, Any], Coroutine[Any, Any, Response]]

problem_handlers: dict[int | type[Exception], ProblemHandler] = {
    HTTPException: http_problem,
    RequestValidationError: validation_problem,
#{% if cookiecutter.sse and cookiecutter.event_broker == "redis" %}
    RedisError: broker_problem,
#{% endif %}
}


class ProblemAPI(FastAPI):
    """An application whose description says what is answered: problem documents, and streams."""

    def openapi(self) -> dict[str, Any]:
        """Return the description, without what FastAPI adds of its own and is not answered.

        That is its 422, a schema beside the one of a stream's items (one text), and the security of
        a service without tokens, which nobody is asked for.
        """
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(PROBLEM_SCHEMAS[1]["$defs"])
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        problem = {PROBLEM: {"schema": {"$ref": SCHEMAS + Problem.__name__}}}
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if status[0] in "45":
                        response["content"] = problem
                    for content in response.get("content", {}).values():
                        if "itemSchema" in content:
                            content.pop("schema", None)
                if not self.state.settings.api_tokens:
                    operation.pop("security", None)
        return document


def retry_later(description: str) -> dict[str, Any]:
    """Return the documentation of an error that passes: the answer says when to come back."""
    seconds = {"description": "Seconds to wait", "schema": {"type": "integer"}}
    return {"description": description, "headers": {"Retry-After": seconds}}
