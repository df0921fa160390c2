"""The route that streams events, and what routes that publish have in common with it."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope as RequestScope

#{% if cookiecutter.__uses.tokens %}
from ..access.dependencies import SCOPE_ERRORS, requires
from ..access.tokens import Scope
#{% endif %}
from ..openapi import retry_later, stream_responses
from ..routes import StreamRoute
from .broker import EARLIEST, Broker, TopicFinished
from .response import EventSchema, TopicStreamResponse
from .subscription import MAX_BUFFER_BYTES
from .wire import EVENT_NAME, RESERVED_NAMES, TOPIC, Payload, encode_json, encode_payload

EXAMPLE = """\
retry: 2000
event: ready
data: {"topics":["news"]}
#{% if cookiecutter.__uses.memory %}
id: 17953567930977f3a09c1-000000000000

id: 17953567930977f3a09c1-000000000001
#{% else %}
id: 17953568090777f3a09c1-1795356809077-100000000000

id: 17953568090777f3a09c1-1795356810072-100000000001
#{% endif %}
event: tick
data: {"n":1}

"""
EVENT = TypeAdapter(Annotated[Any, EventSchema()]).json_schema()
"""The JSON schema of an event on a stream."""
NDJSON = "application/x-ndjson"
MAX_BATCH_BYTES = MAX_BUFFER_BYTES // 2
"""Maximum size of the events of a request, so that it fills no subscriber's buffer."""
BODY_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is not JSON."},
    408: {"description": "The body is too slow."},
    413: {"description": "The body is too large."},
    503: retry_later("Too many request bodies."),
}
"""The documentation of the errors of a route with a body."""


async def get_broker(request: Request) -> Broker:
    """Return the broker of the application."""
    broker: Broker = request.app.state.broker
    return broker


BrokerDep = Annotated[Broker, Depends(get_broker)]
Topic = Annotated[str, Path(pattern=TOPIC, description="Letters, digits, `.`, `_` and `-`")]
EventName = Annotated[
    str, Field(json_schema_extra={"pattern": EVENT_NAME, "not": {"enum": sorted(RESERVED_NAMES)}})
]


async def get_topics(
    topic: Topic,
    more_topics: Annotated[
        tuple[Annotated[str, Field(pattern=TOPIC)], ...],
        Query(alias="topic", description="More topics on the same connection"),
    ] = (),
) -> Sequence[str]:
    """Return the topics of a request, each once."""
    return tuple(dict.fromkeys([topic, *more_topics]))


Topics = Annotated[Sequence[str], Depends(get_topics)]
"""The topics of a request: that of the path, and those of the query."""

router = APIRouter(
    tags=["events"],
    route_class=StreamRoute,
#{% if cookiecutter.__uses.tokens %}
    dependencies=[requires(Scope.EVENTS)],
    responses=SCOPE_ERRORS,
#{% endif %}
)


@router.get(
    "/events/{topic}",
    status_code=200,
    response_class=TopicStreamResponse,
    responses={
        **stream_responses(
            "The events of one or several topics.", EVENT, {TopicStreamResponse.media_type: EXAMPLE}
        ),
        204: {"description": "All topics are finished, and their last events have been received."},
    },
)
async def stream_events(
    request: Request,
    topics: Topics,
    broker: BrokerDep,
    last_event_id: Annotated[
        str | None, Query(description=f"Resume after this id; `{EARLIEST}`: from all of history")
    ] = None,
    last_event_id_of_polyfill: Annotated[
        str | None, Query(alias="lastEventId", description="Overrides `last_event_id`")
    ] = None,
    last_event_id_header: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Overrides the query parameters")
    ] = None,
) -> Response:
    """Stream the events of one or several topics, from now on or after an event.

    ```console
    curl -N http://127.0.0.1:8000/events/news
    ```
    """
    limit: int = request.app.state.settings.max_topics_per_stream
    if len(topics) > limit:
        raise HTTPException(422, f"Too many topics: expected up to {limit}, got {len(topics)}.")
    ids = (last_event_id_header, last_event_id_of_polyfill, last_event_id)
    resume_after = next(filter(None, ids), None)
    if await broker.is_over(topics, resume_after):
        return Response(status_code=204)
    return follow(request, broker, topics, resume_after)


def follow(
    request: Request, broker: Broker, topics: Sequence[str], resume_after: str | None
) -> TopicStreamResponse:
    """Return the stream of the events after `resume_after`."""
#{% if cookiecutter.__uses.memory %}
    response = TopicStreamResponse(broker, request.app.state.fanout, topics, resume_after)
    # No other process has the events of a run: on shutdown its streams end with it.
    response.endless = not request.app.state.runs.are_running(topics)
    return response
#{% else %}
    return TopicStreamResponse(broker, request.app.state.fanout, topics, resume_after)
#{% endif %}


class BatchRoute(StreamRoute):
    """A route for NDJSON bodies only. Declare it before other routes of the path."""

    def matches(self, scope: RequestScope) -> tuple[Match, RequestScope]:
        """Return whether the route is for the request."""
        media_type = Headers(raw=scope.get("headers", [])).get("content-type", "")
        if media_type.partition(";")[0].strip().lower() != NDJSON:
            return Match.NONE, {}
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "max_body_bytes": MAX_BATCH_BYTES}


def add_batch_route(router: APIRouter, event: type[BaseModel]) -> None:
    """Add the route that publishes each line of NDJSON; `event` has `data` and `event`."""

    async def publish_events(topic: Topic, request: Request, broker: BrokerDep) -> Response:
        settings = request.app.state.settings
        # A blank last line is ignored.
        lines = (await request.body()).rstrip().split(b"\n")
        limit = settings.subscriber_buffer
        if len(lines) > limit:
            raise HTTPException(422, f"Too many lines: expected up to {limit}, got {len(lines)}.")
        payloads = await to_thread.run_sync(parse_batch, lines, event, settings.max_event_bytes)
        if len(payloads) > 1 and sum(each.size for each in payloads) > MAX_BATCH_BYTES:
            raise HTTPException(413, f"The events are larger than {MAX_BATCH_BYTES} bytes.")
        try:
            ids = await broker.publish_all(topic, payloads)
        except TopicFinished as error:
            raise HTTPException(409, f"The topic {topic} is finished.") from error
        lines = [encode_json({"id": id}) for id in ids]
        return Response(b"\n".join([*lines, b""]), 201, media_type=NDJSON)

    router.add_api_route(
        "/events/{topic}",
        publish_events,
        methods=["POST"],
        include_in_schema=False,
        route_class_override=BatchRoute,
    )


def parse_batch(lines: Sequence[bytes], event: type[BaseModel], limit: int) -> list[Payload]:
    """Return a payload for each line.

    Raises `RequestValidationError`, which names the line, or `HTTPException`: 413 for a line of
    more than `limit` bytes.
    """
    payloads: list[Payload] = []
    for number, line in enumerate(lines, 1):
        if len(line) > limit:
            raise HTTPException(413, f"Line {number} is larger than {limit} bytes.")
        try:
            parsed: Any = event.model_validate(json.loads(line))
            payloads.append(encode_payload(parsed.data, parsed.event))
        except (ValueError, RecursionError) as error:
            errors: Sequence[Any] = [{"loc": (), "msg": str(error)}]
            if isinstance(error, ValidationError):
                errors = error.errors()
            place = ("body", f"line {number}")
            raise RequestValidationError(
                [{"loc": place + each["loc"], "msg": each["msg"]} for each in errors]
            ) from error
    return payloads


def describe_batch(event: type[BaseModel], published: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route for JSON whose path accepts NDJSON, too."""
    body, response = (
        {"content": {NDJSON: {"itemSchema": {"$ref": f"#/components/schemas/{model.__name__}"}}}}
        for model in (event, published)
    )
    return {"requestBody": body, "responses": {"201": response}}
