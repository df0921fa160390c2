"""Background runs, each of which publishes its progress to its own topic."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import Any, Literal, Self
from uuid import uuid4

from fastapi.sse import ServerSentEvent
from starlette.exceptions import HTTPException

from ..generators import RunningGenerator
#{% if cookiecutter.__uses.request_id %}
from ..headers import request_id
#{% endif %}
from ..registry import UNKNOWN, Streams
from .broker import Broker, TopicFinished
from .wire import STREAM_ERROR, Payload, encode_payload

logger = logging.getLogger(__name__)

BUFFER = 64
"""Number of values that wait while the broker is slower than a run."""

RunStatus = Literal["running", "done", "failed", "stopped"]


@dataclass(eq=False)
class Run:
    """A run, with the idempotency key of its caller and the hash of its request."""

    id: str
    key: str = ""
    digest: str = ""
    status: RunStatus = "running"
#{% if cookiecutter.__uses.request_id %}
    request_id: str = field(default_factory=request_id.get)
#{% endif %}

    @property
    def topic(self) -> str:
        """The topic of its events."""
        return f"run-{self.id}"


@dataclass(eq=False)
class Runs(ABC):
    """Runs generators as tasks of this process, and publishes what they yield.

    A caller has at most `max_per_client` runs in a process. Ended runs are kept for `retention`
    seconds. The status of a run is decided once, before its last event is published.
    """

    broker: Broker
    streams: Streams
    max_runs: int
    max_per_client: int
    retention: float
    _callers: dict[str, str] = field(default_factory=dict, init=False)
    _running: dict[str, RunningGenerator] = field(default_factory=dict, init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for runs while the server drains, for the rest of its grace; then end them."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.streams.deadline - monotonic())
        for running in self._running.values():
            running.stop()
        await asyncio.gather(*self._tasks)

    async def start(
        self,
        work: Callable[[str], Any],
        caller: str,
        *,
        key: str = "",
        body: str = "",
#{% if cookiecutter.__uses.chat %}
        name: str = "",
#{% endif %}
    ) -> Run:
        """Start a run, and return it; or return the run that `caller` has started with `key`.

#{% if cookiecutter.__uses.chat %}
        What `work(topic)` yields is published to the topic. `find_named` returns the newest run
        with `name`, which replaces a key. Raises `HTTPException`: 422 if the run with `key` has
        another body, 429 or 503 if there are too many runs.
#{% else %}
        What `work(topic)` yields is published to the topic. Raises `HTTPException`: 422 if that run
        has another body, 429 or 503 if there are too many runs.
#{% endif %}
        """
        refusal = self._refusal(caller)
        digest = sha256(body.encode()).hexdigest()
#{% if cookiecutter.__uses.chat %}
        run = Run(str(uuid4()), name or (key and f"{caller} {key}"), digest)
#{% else %}
        run = Run(str(uuid4()), key and f"{caller} {key}", digest)
#{% endif %}
        self._callers[run.id] = caller
        try:
#{% if cookiecutter.__uses.chat %}
            known = await self._claim(run, create=refusal is None, replace=bool(name))
#{% else %}
            known = await self._claim(run, create=refusal is None)
#{% endif %}
        finally:
            del self._callers[run.id]
        if known:
            if known.digest != run.digest:
                raise HTTPException(422, "The Idempotency-Key was used with another body.")
            return known
        if refusal:
            raise refusal
        self._callers[run.id] = caller
        running = self._running[run.id] = RunningGenerator(work(run.topic))
        running.limit = BUFFER
        task = asyncio.create_task(self._publish(run, running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def stop(self, id: str) -> bool:
        """Stop a run that has not ended; return whether there is one with this id."""
        status = await self._decide(id, "stopped")
        if running := self._running.get(id):
            running.stop()
        return status is not None

    @abstractmethod
    async def find(self, id: str) -> Run | None:
        """Return a run, unless it ended more than `retention` seconds ago."""

#{% if cookiecutter.__uses.chat %}
    async def find_named(self, name: str) -> Run | None:
        """Return the newest run with `name`."""
        return await self._claim(Run("", name), create=False)

    @abstractmethod
    async def _claim(self, run: Run, *, create: bool, replace: bool = False) -> Run | None:
        """Return the run with the key of `run`; if there is none and `create`, store `run`.

        With `replace` a run with the key does not count.
        """
#{% else %}
    @abstractmethod
    async def _claim(self, run: Run, *, create: bool) -> Run | None:
        """Return the run with the key of `run`; if there is none and `create`, store `run`."""
#{% endif %}

    @abstractmethod
    async def _decide(self, id: str, status: RunStatus) -> RunStatus | None:
        """Set the status of a run that has not ended; return that of an existing one."""

    def _refusal(self, caller: str) -> HTTPException | None:
        """Return the error for one more run of `caller`."""
        if self.streams.draining:
            return HTTPException(503, "The server is shutting down.", {"Retry-After": "1"})
        if len(self._callers) >= self.max_runs:
            return HTTPException(503, "Too many runs.", {"Retry-After": "5"})
        number = list(self._callers.values()).count(caller)
        if number >= self.max_per_client and caller != UNKNOWN:
            detail = f"Too many runs: the limit is {self.max_per_client} per client."
            return HTTPException(429, detail, {"Retry-After": "5"})
        return None

    async def _publish(self, run: Run, running: RunningGenerator) -> None:
        """Publish what a run yields, and its end."""
        status: RunStatus = "failed"
        title, failure = "The server was stopped before the end.", None
        try:
            try:
                while (values := await running.take(None)) is not None:
                    await self._publish_values(run.topic, values)
                status = "done"
            finally:
                await running.close()
        except asyncio.CancelledError:
            pass  # It was stopped.
        except Exception as error:
            title, failure = "The run failed.", error
        del self._running[run.id]
        try:
            status = await self._end(run, status, title)
        except Exception:
            logger.exception("run not ended id=%s", run.id)
        finally:
            del self._callers[run.id]
        level = logging.ERROR if failure else logging.INFO
        logger.log(level, "run ended id=%s status=%s", run.id, status, exc_info=failure)

    async def _publish_values(self, topic: str, values: Sequence[Any]) -> None:
        payloads: list[Payload] = []
        try:
            payloads.extend(map(to_payload, values))
        finally:
            # What precedes an invalid value is published.
            if payloads:
                await self.broker.publish_all(topic, payloads)

    async def _end(self, run: Run, status: RunStatus, title: str) -> RunStatus:
        """End a run with the status that is decided, else with `status`; return it."""
        status = await self._decide(run.id, status) or status
        with suppress(TopicFinished):
            if status == "failed":
#{% if cookiecutter.__uses.request_id %}
                problem = {"title": title, "request_id": run.request_id}
#{% else %}
                problem = {"title": title}
#{% endif %}
                await self.broker.finish(run.topic, problem, STREAM_ERROR)
            else:
                await self.broker.finish(run.topic, {"done": True, "status": status})
        return status


def to_payload(value: Any) -> Payload:
    """Return the event for a value that a run yields. Raises `ValueError`."""
    if not isinstance(value, ServerSentEvent):
        return encode_payload(value, None)
    if value.model_fields_set - {"data", "event"}:
        raise ValueError("Invalid event of a run: expected data and event only")
    return encode_payload(value.data, value.event)
