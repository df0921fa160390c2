"""Work that goes on after its request, and reports on a topic of its own."""

import asyncio
import logging
from uuid import uuid4

from anyio import move_on_after

#{% if cookiecutter.request_id %}
from ..middleware.request_id import request_id
#{% endif %}
from .broker import Broker
from .wire import STREAM_ERROR, encode_json

logger = logging.getLogger(__name__)

MAX_JOBS = 1000
"""How many jobs may run at a time."""
FAREWELL_SECONDS = 5.0


class TooManyJobs(Exception):
    """No more jobs can be started now."""


class Jobs:
    """Runs jobs as tasks of this process."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, steps: int, interval: float) -> str:
        """Start a job that counts `steps`, `interval` seconds apart; return the topic it reports on.

        Raises `TooManyJobs`.
        """
        if len(self._tasks) >= MAX_JOBS:
            raise TooManyJobs
        topic = f"job-{uuid4()}"
        task = asyncio.create_task(self._run(topic, steps, interval))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return topic

    async def close(self) -> None:
        """Stop what still runs; followers of those jobs are told."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, topic: str, steps: int, interval: float) -> None:
        try:
            for count in range(steps):
                if count:
                    await asyncio.sleep(interval)
                await self._broker.publish(topic, encode_json({"topic": topic, "count": count}))
            await self._broker.finish(topic, encode_json({"done": True}))
        except asyncio.CancelledError:
            await self._fail(topic, "The server stopped before the job was done.")
            raise
        except Exception as error:
            await self._fail(topic, "The job failed.", error)

    async def _fail(self, topic: str, title: str, error: Exception | None = None) -> None:
        problem = {"title": title}
#{% if cookiecutter.request_id %}
        problem["request_id"] = request_id.get()
#{% endif %}
        logger.error("job failed topic=%s problem=%s", topic, problem, exc_info=error)
        try:
            with move_on_after(FAREWELL_SECONDS, shield=True):
                await self._broker.finish(topic, encode_json(problem), STREAM_ERROR)
        except Exception:
            logger.exception("followers were not told topic=%s", topic)
