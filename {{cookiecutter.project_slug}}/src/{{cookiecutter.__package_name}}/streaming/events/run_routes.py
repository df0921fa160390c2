"""The routes that start, show and stop runs."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from inspect import isasyncgenfunction
from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Body, Header, HTTPException, Request, Response
from pydantic import BaseModel, BeforeValidator, ValidationError

#{% if cookiecutter.__uses.tokens %}
from ..access.dependencies import SCOPE_ERRORS, Requires, requires
from ..access.tokens import Scope
#{% endif %}
#{% if cookiecutter.__uses.redis %}
from ..openapi import retry_later, stream_responses
#{% else %}
from ..openapi import stream_responses
#{% endif %}
from ..registry import UNKNOWN, network_of
from ..response import admit
from ..routes import StreamRoute, parse_accept
from .broker import EARLIEST
from .response import TopicStreamResponse
from .routes import BODY_ERRORS, EVENT, BrokerDep, follow
from .runs import Runs, RunStatus

EVENTS = TopicStreamResponse.media_type
RUN_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such run."},
#{% if cookiecutter.__uses.redis %}
    503: retry_later("The event broker is unavailable."),
#{% endif %}
}
IdempotencyKey = Annotated[
    str, Header(max_length=255, description="Requests with the same key start one run")
]
R = TypeVar("R", bound=BaseModel)


def require_number(value: object) -> object:
    """Return `value`. Raises `ValueError` for text and booleans, which Pydantic would convert."""
    if isinstance(value, bool | str):
        raise ValueError("expected a number")
    return value


def whole_number(text: str) -> float:
    """Return a JSON number, as an integer if it is one: `2.0` → `2`."""
    number = float(text)
    return int(number) if number.is_integer() else number


StrictNumber = BeforeValidator(require_number)
"""The validator of a field for numbers, which JSON has apart from text and booleans."""


class RunState(BaseModel):
    """A run: the topic of its events, and its status."""

    id: str
    topic: str
    status: RunStatus


def run_routes(request_type: type[R], run: Callable[[R, str], AsyncIterator[Any]]) -> APIRouter:
    """Return the routes of runs: what `run(request, topic)` yields is published to the topic.

    Raises `ValueError` unless `run` is an async generator function.
    """
    if not isasyncgenfunction(run):
        raise ValueError(f"Invalid run {run!r}: expected an async generator function")
    default = Body()
    with suppress(ValidationError):
        request_type()
        default = Body(default_factory=request_type)
#{% if cookiecutter.__uses.tokens %}
    router = APIRouter(tags=["runs"], route_class=StreamRoute, responses=SCOPE_ERRORS)
#{% else %}
    router = APIRouter(tags=["runs"], route_class=StreamRoute)
#{% endif %}

    @router.post(
        "/runs",
        status_code=202,
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.PUBLISH)],
#{% endif %}
        response_model=RunState,
        responses={
            **BODY_ERRORS,
            **stream_responses("Its events.", EVENT, {EVENTS: ""}),
            202: {"headers": {"Location": {"schema": {"type": "string"}}}},
        },
    )
    async def start_run(
        request: Request,
        response: Response,
        broker: BrokerDep,
        idempotency_key: IdempotencyKey = "",
        body: request_type = default,  # type: ignore[valid-type]
    ) -> Any:
        """Start a run, which continues after a disconnect; `Location` is its status.

        A client that prefers `text/event-stream` to JSON gets its events: use `curl -N`.
        """
        accepted = parse_accept(", ".join(request.headers.getlist("accept")))
        streams = accepted.get(EVENTS, 0) > accepted.get("application/json", 0)
        if streams:
#{% if cookiecutter.__uses.tokens %}
            await Requires(Scope.EVENTS)(request, None, None)
#{% endif %}
            # A stream that is not admitted must not leave a run behind.
            with admit(request.scope, endless=True):
                pass
        runs: Runs = request.app.state.runs
        # Models of equal bodies can differ, for example in a generated default.
        sent = json.loads(await request.body() or b"{}", parse_float=whole_number)
        text = json.dumps(sent, sort_keys=True)
        work = partial(run, cast(R, body))
        started = await runs.start(work, caller_of(request), key=idempotency_key, body=text)
        response.headers["Location"] = request.url_for("show_run", id=started.id).path
        response.headers["Vary"] = "Accept"
        if not streams:
            return started
        stream = follow(request, broker, [started.topic], EARLIEST)
        stream.headers.update(response.headers)
        return stream

    @router.get(
        "/runs/{id}",
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.EVENTS)],
#{% endif %}
        response_model=RunState,
        responses=RUN_ERRORS,
    )
    async def show_run(id: str, request: Request) -> Any:
        """Return the status of a run."""
        if found := await request.app.state.runs.find(id):
            return found
        raise HTTPException(404, "There is no such run.")

    @router.delete(
        "/runs/{id}",
        status_code=204,
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.PUBLISH)],
#{% endif %}
        responses=RUN_ERRORS,
    )
    async def stop_run(id: str, request: Request) -> None:
        """Stop a run, unless it has ended."""
        if not await request.app.state.runs.stop(id):
            raise HTTPException(404, "There is no such run.")

    return router


def caller_of(request: Request) -> str:
#{% if cookiecutter.__uses.tokens %}
    """Return the hash of the caller's token, or its network: its runs are limited."""
    return request.user.id or network_of(request.client.host if request.client else UNKNOWN)
#{% else %}
    """Return the network of the caller: its runs are limited."""
    return network_of(request.client.host if request.client else UNKNOWN)
#{% endif %}
