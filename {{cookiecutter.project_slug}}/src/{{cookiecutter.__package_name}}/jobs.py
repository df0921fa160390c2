"""Background jobs that publish their progress."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .streaming import (
    BODY_ERRORS,
    EARLIEST,
#{% if cookiecutter.__uses.tokens %}
    GUARDED,
#{% endif %}
    Jobs,
#{% if cookiecutter.__uses.tokens %}
    Scope,
#{% endif %}
    StreamRoute,
#{% if cookiecutter.__uses.tokens %}
    requires,
#{% endif %}
    retry_later,
)

#{% if cookiecutter.__uses.tokens %}
router = APIRouter(
    tags=["events"],
    route_class=StreamRoute,
    dependencies=[requires(Scope.PUBLISH)],
    responses=GUARDED,
)
#{% else %}
router = APIRouter(tags=["events"], route_class=StreamRoute)
#{% endif %}


def require_number(value: object) -> object:
    """Return `value`. Raises `ValueError` for text and booleans, which Pydantic would convert."""
    if isinstance(value, bool | str):
        raise ValueError("expected a number")
    return value


Number = BeforeValidator(require_number)


class JobRequest(BaseModel):
    """A job that counts `steps`, with `interval` seconds in between."""

    model_config = ConfigDict(extra="forbid")

    steps: Annotated[int, Field(ge=1, le=1_000_000), Number] = 5
    interval: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False), Number] = 1.0


class StartedJob(BaseModel):
    """The topic of a job."""

    topic: str


async def run_job(job: JobRequest, topic: str) -> AsyncGenerator[dict[str, Any], None]:
    """Do the work; what is yielded is published to `topic`."""
    for count in range(job.steps):
        if count:
            await asyncio.sleep(job.interval)
        yield {"topic": topic, "count": count}


@router.post(
    "/jobs",
    status_code=202,
    responses={
        202: {"headers": {"Location": {"description": "The stream", "schema": {"type": "string"}}}},
        **BODY_ERRORS,
        503: retry_later("Too many running jobs."),
    },
)
async def start_job(
    request: Request, response: Response, job: Annotated[JobRequest | None, Body()] = None
) -> StartedJob:
    """Start a job; `Location` is the stream of its progress."""
    jobs: Jobs = request.app.state.jobs
    topic = jobs.start(lambda topic: run_job(job or JobRequest(), topic))
    response.headers["Location"] = f"/events/{topic}?last_event_id={EARLIEST}"
    return StartedJob(topic=topic)
