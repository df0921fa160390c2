"""Background jobs, which publish their progress on a topic of their own."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from anyio import move_on_after
from fastapi import HTTPException

#{% if cookiecutter.__uses.request_id %}
from ..headers import request_id
#{% endif %}
from .broker import Broker
from .wire import STREAM_ERROR

logger = logging.getLogger(__name__)

MAX_JOBS = 1000
"""Maximum number of running jobs."""
CLOSE_SECONDS = 5.0


class Jobs:
    """Runs jobs as tasks of this process."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, job: Callable[[str], AsyncGenerator[Any, None]]) -> str:
        """Start a job and return its topic, with which `job` is called.

        What the generator yields is published, then `done`. Raises `HTTPException`: 503.
        """
        if len(self._tasks) >= MAX_JOBS:
            raise HTTPException(503, "Too many running jobs.", {"Retry-After": "5"})
        topic = f"job-{uuid4()}"
        task = asyncio.create_task(self._run(topic, job(topic)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return topic

    async def close(self) -> None:
        """Cancel running jobs; their topics end with `stream-error`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, topic: str, job: AsyncGenerator[Any, None]) -> None:
        try:
            async with aclosing(job):
                async for value in job:
                    await self._broker.publish(topic, value)
            await self._broker.finish(topic, {"done": True})
        except asyncio.CancelledError:
            await self._fail(topic, "The server was stopped before the job was done.")
            raise
        except Exception as error:
            await self._fail(topic, "The job failed.", error)

    async def _fail(self, topic: str, title: str, error: Exception | None = None) -> None:
        problem = {"title": title}
#{% if cookiecutter.__uses.request_id %}
        problem["request_id"] = request_id.get()
#{% endif %}
        logger.error("job failed topic=%s problem=%s", topic, problem, exc_info=error)
        try:
            with move_on_after(CLOSE_SECONDS, shield=True):
                await self._broker.finish(topic, problem, STREAM_ERROR)
        except Exception:
            logger.exception("job failure not published topic=%s", topic)
