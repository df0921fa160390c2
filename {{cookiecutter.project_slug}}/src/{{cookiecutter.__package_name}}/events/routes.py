"""The routes of the events."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, HTTPException, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from ..access import GUARDED, Scope, requires
from ..parameters import once
from ..problems import retry_later
from ..settings import Settings
from ..streaming import stream_documentation
from .body_limit import LimitedRoute
from .broker import EARLIEST, Broker, TopicFinished
from .delivery import Delivery
from .jobs import Jobs, TooManyJobs
from .stream import EventStreamResponse
from .wire import NO_LINE, RESERVED_NAMES, TOPIC, encode_json, require_one_line

router = APIRouter(tags=["events"], route_class=LimitedRoute, responses=GUARDED)

READ = [requires(Scope.EVENTS), once("last_event_id")]
PUBLISH = [requires(Scope.PUBLISH)]
EXAMPLE = """\
retry: 2000
event: ready
data: {"topics":["news"]}
#{% if cookiecutter.event_broker == "memory" %}
id: 1795356793097-000000000000

id: 1795356793097-000000000001
#{% else %}
id: 1795356809077-1795356809077-100000000000

id: 1795356809077-1795356810072-100000000001
#{% endif %}
event: tick
data: {"n":1}

"""
BODY_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body cannot be read."},
    413: {"description": "The body is too large."},
}


def publishable_name(name: str) -> str:
    """Return `name`; raises `ValueError` for one that a client could not tell from its own."""
    require_one_line(event=name)
    if name in RESERVED_NAMES:
        raise ValueError(f"{name!r} is reserved")
    return name


def encodable(value: JsonValue) -> JsonValue:
    """Return `value`; raises `ValueError` for text that is no Unicode."""
    encode_json(value)
    return value


def number(value: object) -> object:
    """Return `value`; raises `ValueError` for what only looks like a number."""
    if isinstance(value, bool | str):
        raise ValueError("a number is accepted")
    return value


Topic = Annotated[str, Path(pattern=TOPIC, description="Letters, digits, `.`, `_` and `-`")]
EventName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        json_schema_extra={
            "pattern": f"^[^{NO_LINE.pattern[1:]}*$",
            "not": {"enum": sorted(RESERVED_NAMES)},
        },
    ),
    AfterValidator(publishable_name),
]
OnlyANumber = BeforeValidator(number)


class NewEvent(BaseModel):
    """An event to publish."""

    model_config = ConfigDict(allow_inf_nan=False, extra="forbid")

    data: Annotated[JsonValue, AfterValidator(encodable)]
    event: EventName | None = None


class PublishedEvent(BaseModel):
    """The id of an event that was stored."""

    id: str


class NewJob(BaseModel):
    """A job that counts `steps`, `interval` seconds apart."""

    model_config = ConfigDict(extra="forbid")

    steps: Annotated[int, Field(ge=1, le=1_000_000), OnlyANumber] = 5
    interval: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False), OnlyANumber] = 1.0


class StartedJob(BaseModel):
    """The topic that a job reports on."""

    topic: str


class ServerSentEvent(BaseModel):
    """One event of a stream."""

    data: Annotated[str, Field(json_schema_extra={"contentMediaType": "application/json"})]
    event: str | None = None
    id: str | None = None
    retry: int | None = None


async def broker_of(request: Request) -> Broker:
    broker: Broker = request.app.state.broker
    return broker


async def delivery_of(request: Request) -> Delivery:
    delivery: Delivery = request.app.state.delivery
    return delivery


async def jobs_of(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


async def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


TheBroker = Annotated[Broker, Depends(broker_of)]
TheDelivery = Annotated[Delivery, Depends(delivery_of)]
TheJobs = Annotated[Jobs, Depends(jobs_of)]
TheSettings = Annotated[Settings, Depends(settings_of)]


@router.head("/events/{topic}", dependencies=READ, include_in_schema=False)
@router.get(
    "/events/{topic}",
    dependencies=READ,
    status_code=200,
    response_class=EventStreamResponse,
    responses={
        **stream_documentation(
            EventStreamResponse.media_type,
            ServerSentEvent,
            "The events of one topic, or of several.",
            EXAMPLE,
        ),
        204: {"description": "Every topic is finished, and its last event was seen."},
    },
)
async def follow_topic(
    topic: Topic,
    broker: TheBroker,
    delivery: TheDelivery,
    settings: TheSettings,
    more_topics: Annotated[
        tuple[Annotated[str, Field(pattern=TOPIC)], ...],
        Query(alias="topic", description="More topics on this connection"),
    ] = (),
    last_event_id: Annotated[
        str | None, Query(description=f"Where to resume; `{EARLIEST}` for all of history")
    ] = None,
    last_event_id_header: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Wins over the query parameter")
    ] = None,
) -> Response:
    """Follow one topic or several, from now on or from right after an event.

    ```console
    curl -N http://127.0.0.1:8000/events/news
    ```
    """
    topics = list(dict.fromkeys([topic, *more_topics]))
    if len(topics) > settings.max_topics_per_stream:
        limit = settings.max_topics_per_stream
        raise HTTPException(422, f"{len(topics)} topics: one stream carries at most {limit}.")
    resume_after = last_event_id_header or last_event_id or None
    if await broker.is_over(topics, resume_after):
        return Response(status_code=204)
    return EventStreamResponse(broker, delivery, topics, resume_after)


@router.post(
    "/events/{topic}",
    dependencies=PUBLISH,
    status_code=201,
    responses={
        **BODY_PROBLEMS,
        409: {"description": "The topic is finished."},
#{% if cookiecutter.event_broker == "redis" %}
        503: retry_later("The broker of events does not answer."),
#{% endif %}
    },
)
async def publish_event(topic: Topic, event: NewEvent, broker: TheBroker) -> PublishedEvent:
    """Publish an event to everyone who follows the topic."""
    try:
        return PublishedEvent(id=await broker.publish(topic, encode_json(event.data), event.event))
    except TopicFinished:
        raise HTTPException(409, f"The topic {topic} is finished.") from None


@router.post(
    "/jobs",
    dependencies=PUBLISH,
    status_code=202,
    responses={
        202: {"headers": {"Location": {"description": "The stream", "schema": {"type": "string"}}}},
        **BODY_PROBLEMS,
        503: retry_later("Too many jobs are running."),
    },
)
async def start_job(
    response: Response, jobs: TheJobs, job: Annotated[NewJob | None, Body()] = None
) -> StartedJob:
    """Start a job; `Location` is the stream that it reports on."""
    job = job or NewJob()
    try:
        topic = jobs.start(job.steps, job.interval)
    except TooManyJobs:
        raise HTTPException(503, "Too many jobs are running.", {"Retry-After": "5"}) from None
    response.headers["Location"] = f"/events/{topic}?last_event_id={EARLIEST}"
    return StartedJob(topic=topic)
