"""Errors as problem documents (RFC 9457)."""

import json
#{% if cookiecutter.__uses.request_id or cookiecutter.__uses.redis %}
import logging
#{% endif %}
from collections.abc import Callable, Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
#{% if cookiecutter.__uses.redis %}
from redis.exceptions import RedisError
#{% endif %}
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Mount
#{% if cookiecutter.__uses.request_id or cookiecutter.__uses.redis %}

logger = logging.getLogger(__name__)
#{% endif %}

MAX_ERRORS = 20
PROBLEM = "application/problem+json"


class Unavailable(Exception):
    """A part of the service is unavailable; clients may read the message."""


class ProblemResponse(Response):
    """A problem document; `members` extend it (RFC 9457, section 3.2)."""

    media_type = PROBLEM

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        title = HTTPStatus(status).phrase
        document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        super().__init__(json.dumps(document | members), status, headers)


async def http_problem(request: Request, error: HTTPException) -> Response:
    """Return the response to an `HTTPException`."""
    if error.status_code in (204, 304):
        return Response(status_code=error.status_code, headers=error.headers)
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := allowed_methods(request)):
        headers["Allow"] = methods
    return ProblemResponse(error.status_code, str(error.detail), headers)


def allowed_methods(request: Request) -> str:
    """Return the value of `Allow` (RFC 9110, section 10.2.1); empty for a mounted folder.

    Starlette names the methods of one route, and a path may have several routes.
    """
    target = {name: request.scope[name] for name in ("type", "path", "root_path")}
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    return ", ".join(
        method
        for method in HTTPMethod
        if any(route.matches({**target, "method": method})[0] is Match.FULL for route in routes)
    )


def message_of(error: Mapping[str, Any]) -> str:
    """Return the message about an invalid part; FastAPI parses no body of another media type."""
    is_unparsed = error["loc"] == ("body",) and isinstance(error.get("input"), bytes)
    return "expected Content-Type: application/json" if is_unparsed else error["msg"]


async def validation_problem(_: Request, error: RequestValidationError) -> Response:
    """Return the response to an invalid request: 422, with the first errors in `errors`."""
    # A parameter of several dependencies is validated by each.
    found = dict.fromkeys((each["loc"], message_of(each)) for each in error.errors())
    errors = [{"loc": loc, "msg": msg} for loc, msg in list(found)[:MAX_ERRORS]]
    detail = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors)
    return ProblemResponse(422, detail, errors=errors)


#{% if cookiecutter.__uses.redis %}
async def broker_problem(_: Request, error: RedisError) -> Response:
    """Return the response while Redis is unavailable: 503. The cause is logged."""
    logger.warning("Redis is unavailable: %s", error)
    return ProblemResponse(503, "The event broker is unavailable.", {"Retry-After": "5"})


#{% endif %}
#{% if cookiecutter.__uses.request_id %}
async def server_problem(_: Request, error: Exception) -> Response:
    """Return the response to an unexpected exception: 500, without its message or traceback."""
    logger.error("request failed error=%r", error)
#{% else %}
async def server_problem(_: Request, __: Exception) -> Response:
    """Return the response to an unexpected exception: 500, without its message or traceback."""
#{% endif %}
    return ProblemResponse(500, "The server failed to process the request.")


problem_handlers: dict[int | type[Exception], Callable[..., Any]] = {
    Exception: server_problem,
    HTTPException: http_problem,
    RequestValidationError: validation_problem,
#{% if cookiecutter.__uses.redis %}
    RedisError: broker_problem,
#{% endif %}
}
