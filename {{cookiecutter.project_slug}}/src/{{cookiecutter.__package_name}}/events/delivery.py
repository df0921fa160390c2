"""Sending events to thousands of streams without waking a task for each.

Waking a task that waits for events, for it to send them, costs several times the sending. So one
callback a turn of the event loop steps through the `send` of every stream that has events: uvicorn's
has written to the socket after that one step, unless the client lags behind. Only then a task
carries on with it.
"""

import asyncio
import types
from collections import deque
from collections.abc import Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from starlette.types import Message, Send

from ..streaming import LAST_CHUNK, Chunk, OpenStream, Reason, SlowReader
from .subscription import Subscription
from .wire import HEARTBEAT, Event, joined

SLICE = 250
"""How many streams are served before everything else has a turn on the event loop."""
BEAT = Chunk(HEARTBEAT, 0)


class SendCancelled(Exception):
    """The server's `send` was cancelled, and not by its stream."""


class Delivery:
    """Serves the streams of one process, none of which is silent for `heartbeat` seconds."""

    def __init__(self, heartbeat: float) -> None:
        self.heartbeat = heartbeat
        self._timer: asyncio.TimerHandle | None = None
        self._outlets: set[Outlet] = set()
        self._turns: deque[Outlet] = deque()
        self._joined: dict[tuple[Sequence[str], str, str, int], list[Chunk]] = {}

    @contextmanager
    def serving(self, outlet: "Outlet") -> Iterator[None]:
        """Serve `outlet`, at first with what waits for it already."""
        self._outlets.add(outlet)
        if not self._timer:
            self._start_timer()
        outlet.subscription.notify = outlet.take_turn
        outlet.take_turn()
        try:
            yield
        finally:
            self._outlets.discard(outlet)
            if self._timer and not self._outlets:
                self._timer.cancel()
                self._timer = None

    def enqueue(self, outlet: "Outlet") -> None:
        """Serve `outlet` on this turn of the event loop or on one of the next."""
        if not self._turns:
            asyncio.get_running_loop().call_soon(self._serve)
        self._turns.append(outlet)

    def chunks(self, topics: Sequence[str], events: Sequence[Event]) -> list[Chunk]:
        """Return `events` as they are sent, once a turn for all streams that are at the same place."""
        # Some that one stream has in between may be gone from the history that another was replayed.
        place = topics, events[0].id, events[-1].id, len(events)
        chunks = self._joined.get(place)
        if chunks is None:
            if not self._joined:
                asyncio.get_running_loop().call_soon(self._joined.clear)
            chunks = [Chunk(data, count) for data, count in joined(events, tagged=len(topics) > 1)]
            self._joined[place] = chunks
        return chunks

    def _serve(self) -> None:
        for _ in range(min(SLICE, len(self._turns))):
            self._turns.popleft().serve()
        if self._turns:
            asyncio.get_running_loop().call_soon(self._serve)

    def _start_timer(self) -> None:
        # A stream that sent nothing from one beat to the next has been idle for up to two periods.
        self._timer = asyncio.get_running_loop().call_later(self.heartbeat / 2, self._beat)

    def _beat(self) -> None:
        self._start_timer()
        for outlet in self._outlets:
            outlet.beat()


class Outlet:
    """One stream of `topics`, and where its events come from."""

    __slots__ = (
        "_chunks",
        "_context",
        "_delivery",
        "_has_turn",
        "_is_idle",
        "_is_open",
        "_send",
        "_sending",
        "_stream",
        "_topics",
        "subscription",
    )

    def __init__(
        self,
        delivery: Delivery,
        topics: Sequence[str],
        subscription: Subscription,
        stream: OpenStream,
        send: Send,
    ) -> None:
        self.subscription = subscription
        self._delivery = delivery
        self._topics = topics
        self._stream = stream
        self._send = send
        # What is sent on behalf of a stream is sent in its context, whoever published it.
        self._context = copy_context()
        # Last chunk first. A list, since an empty deque takes more memory than all the rest of this.
        self._chunks: list[Chunk] = []
        self._sending: asyncio.Task[None] | None = None
        self._has_turn = False
        self._is_idle = False
        self._is_open = True

    def take_turn(self) -> None:
        """See to it that `serve` is called soon, once."""
        if not self._has_turn:
            self._has_turn = True
            self._delivery.enqueue(self)

    def serve(self) -> None:
        """Send what there is, up to where the client has to catch up."""
        self._has_turn = False
        while self._is_open and not self._sending:
            if self._chunks:
                self._step(self._chunks.pop())
            elif self.subscription.is_ready:
                self._refill()
            else:
                return

    def beat(self) -> None:
        """Send a comment if nothing was sent since the last time."""
        if self._is_idle and not self._chunks:
            self._chunks.append(BEAT)
            self.take_turn()
        self._is_idle = True

    async def close(self) -> None:
        """Stop sending: a chunk that waits for the client is not sent any more."""
        self._is_open = False
        if self._sending:
            self._sending.cancel()
            await asyncio.wait([self._sending])

    def _refill(self) -> None:
        try:
            events = self.subscription.take()
        except Exception as failure:
            self._fail(failure)
            return
        if events:
            self._chunks.extend(reversed(self._delivery.chunks(self._topics, events)))
        else:
            self._chunks.append(LAST_CHUNK)

    def _step(self, chunk: Chunk) -> None:
        message = {
            "type": "http.response.body",
            "body": chunk.data,
            "more_body": chunk is not LAST_CHUNK,
        }
        try:
            sending: Any = self._context.run(self._send, message)
            awaited = self._context.run(sending.send, None)
        except StopIteration:
            self._sent(chunk)
        except asyncio.CancelledError:
            self._fail(SendCancelled())
        except Exception as failure:
            self._fail(failure)
        else:
            self._sending = asyncio.get_running_loop().create_task(
                self._finish(sending, awaited, chunk), context=self._context
            )
            # A task that is cancelled before it ran leaves it where it is.
            self._sending.add_done_callback(lambda _: sending.close())

    async def _finish(
        self, sending: Coroutine[Any, Any, None], awaited: object, chunk: Chunk
    ) -> None:
        try:
            async with asyncio.timeout(self._stream.send_timeout):
                await carry_on(sending, awaited)
        except TimeoutError:
            self._fail(SlowReader())
        except asyncio.CancelledError:
            if self._is_open:
                self._fail(SendCancelled())
            raise
        except Exception as failure:
            self._fail(failure)
        else:
            self._sending = None
            self._sent(chunk)
            self.take_turn()

    def _sent(self, chunk: Chunk) -> None:
        self._is_idle = False
        self._stream.count(chunk)
        if chunk is LAST_CHUNK:
            self._is_open = False
            self._stream.reason = Reason.COMPLETE

    def _fail(self, failure: Exception) -> None:
        self._is_open = False
        self._stream.fail(failure)


class ObservedSend:
    """A `send` that knows whether it ever had to wait: then it needs a task each time."""

    def __init__(self, send: Send) -> None:
        self.waited = False
        self._send = send

    async def __call__(self, message: Message) -> None:
        """Send `message`."""
        sending = self._send(message)
        if isinstance(sending, Coroutine):
            try:
                awaited = sending.send(None)
            except StopIteration:
                return
            self.waited = True
            await carry_on(sending, awaited)
        else:
            self.waited = True
            await sending


@types.coroutine
def carry_on(coroutine: Coroutine[Any, Any, None], awaited: object) -> Generator[Any, Any, None]:
    """Finish `coroutine`, which was stepped once and waits for `awaited`, in the current task."""
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
