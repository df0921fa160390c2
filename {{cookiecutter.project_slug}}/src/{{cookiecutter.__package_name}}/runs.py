"""Runs: background work, whose progress is streamed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from .streaming import StrictNumber


class RunRequest(BaseModel):
    """The body of `POST /runs`: count `steps`, with `interval` seconds in between."""

    model_config = ConfigDict(extra="forbid")

    steps: Annotated[int, Field(ge=1, le=1_000_000), StrictNumber] = 5
    interval: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False), StrictNumber] = 1.0


async def run(request: RunRequest, topic: str) -> AsyncIterator[dict[str, Any]]:
    """Do the work: each value is an event of `topic`, or a `ServerSentEvent` with its name.

    It continues after the client disconnects. Cleanup code in `finally` and `async with` still runs
    when the run is done, fails or is stopped, and on shutdown.
    """
    for count in range(request.steps):
        if count:
            await asyncio.sleep(request.interval)
        yield {"topic": topic, "count": count}
