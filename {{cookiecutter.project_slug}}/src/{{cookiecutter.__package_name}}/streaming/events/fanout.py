"""Sending events to thousands of streams without waking a task for each.

Waking a task costs several times the sending. So one callback per turn of the event loop steps
through the `send` of every stream that has events: uvicorn's has then written to the socket, unless
the client is slow. In that case, and on servers whose `send` always waits, a task completes it.
"""

import asyncio
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Send

from ..registry import Chunk, Reason, SlowReader, Stream
from ..response import LAST_CHUNK, body_message
from .subscription import Subscription
from .wire import Event, coalesce

SLICE = 250
"""Number of streams to flush before the event loop runs everything else."""
STEPS = 8
"""Number of chunks to take or to send before other streams are flushed."""


class SendCancelled(Exception):
    """The server's `send` was cancelled, and not by its stream."""


class Fanout:
    """Flushes the event streams of a process; none is idle for longer than `heartbeat` seconds."""

    def __init__(self, heartbeat: float) -> None:
        self.heartbeat = heartbeat
        self._timer: asyncio.TimerHandle | None = None
        self._subscribers: set[Subscriber] = set()
        self._scheduled: deque[Subscriber] = deque()
        self._coalesced: dict[tuple[Sequence[str] | bool, str, str, int], list[Chunk]] = {}

    @contextmanager
    def serving(self, subscriber: "Subscriber") -> Iterator[None]:
        """Flush `subscriber` now, and whenever it has events."""
        if not self._timer:
            self._tick()
        self._subscribers.add(subscriber)
        subscriber.subscription.notify = subscriber.schedule
        subscriber.schedule()
        try:
            yield
        finally:
            self._subscribers.discard(subscriber)
            if self._timer and not self._subscribers:
                self._timer.cancel()
                self._timer = None

    def schedule(self, subscriber: "Subscriber") -> None:
        """Flush `subscriber` in this turn of the event loop or in one of the next."""
        if not self._scheduled:
            asyncio.get_running_loop().call_soon(self._flush)
        self._scheduled.append(subscriber)

    def chunks(self, topics: Sequence[str], events: Sequence[Event]) -> list[Chunk]:
        """Return `events` as chunks, encoded once per turn for all streams at the same position."""
        multiplexed = len(topics) > 1
        # The ends identify two events. The number tells a replay with a gap, since events expire,
        # from a complete one.
        key = (topics if len(events) > 2 else multiplexed), events[0].id, events[-1].id, len(events)
        chunks = self._coalesced.get(key)
        if chunks is None:
            if not self._coalesced:
                asyncio.get_running_loop().call_soon(self._coalesced.clear)
            chunks = list(coalesce(events, multiplexed=multiplexed))
            self._coalesced[key] = chunks
        return chunks

    def _flush(self) -> None:
        try:
            for _ in range(min(SLICE, len(self._scheduled))):
                self._scheduled.popleft().flush()
        finally:
            if self._scheduled:
                asyncio.get_running_loop().call_soon(self._flush)

    def _tick(self) -> None:
        # A stream that sent nothing between two ticks has been idle for up to two periods.
        self._timer = asyncio.get_running_loop().call_later(self.heartbeat / 2, self._tick)
        for subscriber in self._subscribers:
            subscriber.tick()


@dataclass(eq=False, slots=True)
class Subscriber:
    """A stream of `topics`: where its events come from, and where they are sent.

    With `send_waits`, each chunk has a task; otherwise `send` is expected to complete in one step.
    """

    fanout: Fanout
    topics: Sequence[str]
    subscription: Subscription
    stream: Stream
    send: Send
    send_waits: bool
    # A stream sends in its own context, whoever published the event.
    context: Context = field(default_factory=copy_context)
    # Last chunk first. A list: an empty deque takes more memory than the rest of the object.
    chunks: list[Chunk] = field(default_factory=list)
    sending: asyncio.Task[None] | None = None
    is_scheduled: bool = False
    is_idle: bool = False
    is_open: bool = True

    def schedule(self) -> None:
        """Call `flush` soon, once."""
        if not self.is_scheduled:
            self.is_scheduled = True
            self.fanout.schedule(self)

    def flush(self) -> None:
        """Send what is waiting, unless the client is slow. A failure ends this stream only."""
        self.is_scheduled = False
        try:
            for _ in range(STEPS):
                if not self.is_open or self.sending:
                    return
                if self.chunks:
                    self._start_sending(self.chunks.pop())
                elif self.subscription.is_ready:
                    events = self.subscription.take()
                    chunks = self.fanout.chunks(self.topics, events) if events else [LAST_CHUNK]
                    self.chunks.extend(reversed(chunks))
                else:
                    return
            self.schedule()
        except Exception as failure:
            self._fail(failure)
        except BaseException:
            self._fail(SendCancelled())
            raise

    def tick(self) -> None:
        """Send a heartbeat if nothing was sent since the last tick."""
        try:
            self.stream.detect_disconnect()
            if self.is_idle and not self.chunks:
                self.chunks.append(Chunk(self.subscription.heartbeat(), 0))
                self.schedule()
        except Exception as failure:
            self._fail(failure)
        self.is_idle = True

    async def settle(self) -> None:
        """Wait for the last chunk of a finished stream, which the server may report first."""
        if self.sending and not self.chunks and not self.subscription.is_open:
            await asyncio.wait([self.sending])

    async def close(self) -> None:
        """Stop sending; cancel a chunk that waits for the client."""
        self.is_open = False
        if self.sending:
            self.sending.cancel()
            await asyncio.wait([self.sending])

    def _start_sending(self, chunk: Chunk) -> None:
        """Send a chunk: in one step, or else in a task."""
        message = body_message(chunk)
        self.stream.is_cut |= chunk.is_partial
        if self.send_waits:
            self._complete_in_task(lambda: self.send(message), chunk)
            return
        try:
            sending: Any = self.context.run(self.send, message)
            awaited = self.context.run(sending.send, None)
        except StopIteration:
            self._sent(chunk)
        except asyncio.CancelledError:
            raise SendCancelled from None
        else:
            task = self._complete_in_task(lambda: resume(sending, awaited), chunk)
            # A task that is cancelled before it runs does not close what it would await.
            task.add_done_callback(lambda _: sending.close())

    def _complete_in_task(
        self, send: Callable[[], Awaitable[None]], chunk: Chunk
    ) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        self.sending = loop.create_task(self._complete(send, chunk), context=self.context)
        return self.sending

    async def _complete(self, send: Callable[[], Awaitable[None]], chunk: Chunk) -> None:
        try:
            async with asyncio.timeout(self.stream.send_timeout):
                await send()
        except TimeoutError:
            self._fail(SlowReader())
        except asyncio.CancelledError:
            if self.is_open:
                self._fail(SendCancelled())
            raise
        except Exception as failure:
            self._fail(failure)
        else:
            self.sending = None
            self._sent(chunk)
            self.schedule()

    def _sent(self, chunk: Chunk) -> None:
        self.is_idle = False
        self.stream.count(chunk)
        if chunk is LAST_CHUNK:
            self.is_open = False
            self.stream.end(Reason.COMPLETE)

    def _fail(self, failure: Exception) -> None:
        self.is_open = False
        if isinstance(failure, SlowReader):
            self.stream.end(Reason.SLOW_READER)
        else:
            self.stream.end(Reason.ERROR, failure)


@types.coroutine
def resume(coroutine: Coroutine[Any, Any, None], awaited: object) -> Generator[Any, Any, None]:
    """Complete `coroutine`, which has run up to `awaited`, in the current task."""
    try:
        while True:
            try:
                result = yield awaited
            except BaseException as error:
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(result)
    except StopIteration:
        return
