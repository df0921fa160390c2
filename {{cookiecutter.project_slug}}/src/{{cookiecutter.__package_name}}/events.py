"""The route that publishes events, and the rules of topics."""

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, JsonValue

from .streaming import (
    BODY_ERRORS,
#{% if cookiecutter.__uses.tokens %}
    SCOPE_ERRORS,
#{% endif %}
    BrokerDep,
    EventName,
#{% if cookiecutter.__uses.tokens %}
    Scope,
#{% endif %}
    StreamRoute,
    Topic,
    TopicFinished,
    Topics,
    add_batch_route,
    describe_batch,
#{% if cookiecutter.__uses.tokens %}
    requires,
#{% endif %}
#{% if cookiecutter.__uses.redis %}
    retry_later,
#{% endif %}
)


class NewEvent(BaseModel):
    """An event to publish."""

    model_config = ConfigDict(allow_inf_nan=False, extra="forbid")

    data: JsonValue
    event: EventName | None = None


class PublishedEvent(BaseModel):
    """The id of a published event."""

    id: str


def check_topic(topic: str, request: Request) -> None:
    """Raise `HTTPException` if the request must not subscribe or publish to `topic`.

    As generated, all topics are open to every caller; this is the place for rules.
    """


async def check_followed_topics(topics: Topics, request: Request) -> None:
    """Check the topics of a stream."""
    for topic in topics:
        check_topic(topic, request)


async def check_published_topic(topic: Topic, request: Request) -> None:
    """Check the topic of a publish."""
    check_topic(topic, request)


router = APIRouter(
    tags=["events"],
    route_class=StreamRoute,
    dependencies=[
#{% if cookiecutter.__uses.tokens %}
        requires(Scope.PUBLISH),
#{% endif %}
        Depends(check_published_topic),
    ],
#{% if cookiecutter.__uses.tokens %}
    responses=SCOPE_ERRORS,
#{% endif %}
)

add_batch_route(router, NewEvent)


@router.post(
    "/events/{topic}",
    status_code=201,
    responses={
        **BODY_ERRORS,
        409: {"description": "The topic is finished."},
#{% if cookiecutter.__uses.redis %}
        503: retry_later("The event broker is unavailable."),
#{% endif %}
    },
    openapi_extra=describe_batch(NewEvent, PublishedEvent),
)
async def publish_event(topic: Topic, event: NewEvent, broker: BrokerDep) -> PublishedEvent:
    """Publish an event to the subscribers of a topic."""
    try:
        id = await broker.publish(topic, event.data, event.event)
    except TopicFinished as error:
        raise HTTPException(409, f"The topic {topic} is finished.") from error
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return PublishedEvent(id=id)
