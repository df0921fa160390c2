"""The route that streams events, and what routes that publish have in common with it."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, Field

#{% if cookiecutter.__uses.tokens %}
from ..access.dependencies import GUARDED, requires
from ..access.tokens import Scope
#{% endif %}
from ..openapi import stream_responses
from ..routes import StreamRoute
from .broker import EARLIEST, Broker
from .response import TopicStreamResponse
from .wire import EVENT_NAME, RESERVED_NAMES, TOPIC

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
BODY_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is not JSON."},
    413: {"description": "The body is too large."},
}
"""The documentation of the errors of a route with a body."""


class ServerSentEvent(BaseModel):
    """An event of a stream."""

    data: Annotated[str, Field(json_schema_extra={"contentMediaType": "application/json"})]
    event: str | None = None
    id: str | None = None
    retry: int | None = None


async def get_broker(request: Request) -> Broker:
    """Return the broker of the application."""
    broker: Broker = request.app.state.broker
    return broker


BrokerDep = Annotated[Broker, Depends(get_broker)]
Topic = Annotated[str, Path(pattern=TOPIC, description="Letters, digits, `.`, `_` and `-`")]
EventName = Annotated[
    str,
    Field(json_schema_extra={"pattern": EVENT_NAME, "not": {"enum": sorted(RESERVED_NAMES)}}),
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
    responses=GUARDED,
#{% endif %}
)


@router.head("/events/{topic}", include_in_schema=False)
@router.get(
    "/events/{topic}",
    status_code=200,
    response_class=TopicStreamResponse,
    responses={
        **stream_responses(
            "The events of one or several topics.",
            ServerSentEvent.model_json_schema(),
            {TopicStreamResponse.media_type: EXAMPLE},
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
    # Blanks around the value of a header are not part of it (RFC 9110, section 5.5).
    resume_after = next((id.strip(" \t") for id in ids if id and not id.isspace()), None)
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
