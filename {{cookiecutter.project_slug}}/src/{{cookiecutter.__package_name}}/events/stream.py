"""A subscription as a response that a browser's `EventSource` can follow."""

from collections.abc import AsyncGenerator, Sequence
from secrets import randbelow

from anyio import CancelScope, move_on_after
from starlette.types import Receive, Send

#{% if cookiecutter.request_id %}
from ..middleware.request_id import request_id
#{% endif %}
from ..streaming import Chunk, OpenStream, Reason, StreamResponse, until_disconnected
from .broker import Broker
from .delivery import BEAT, Delivery, ObservedSend, Outlet
from .subscription import Subscription
from .wire import RESET, STREAM_ERROR, encode_event, encode_json, encode_ready, encode_retry

RETRY_MILLISECONDS = 2000


class EventStreamResponse(StreamResponse):
    """An endless stream of events, which a client that lost it resumes by `Last-Event-ID`.

    It begins with `ready`, then come all events from `last_event_id` on, and a comment before it
    has been idle for `heartbeat` seconds. It ends when all topics are finished.
    """

    media_type = "text/event-stream"
    items_name = "events"
    endless = True

    def __init__(
        self,
        broker: Broker,
        delivery: Delivery,
        topics: Sequence[str],
        last_event_id: str | None,
    ) -> None:
        super().__init__(self._chunks(), {"Cache-Control": "no-cache"})
        self._broker = broker
        self._delivery = delivery
        self._topics = tuple(topics)
        self._last_event_id = last_event_id

    def farewell(self, reason: Reason) -> bytes | None:
        """Say when to come back, or what failed; a client that is too slow cannot be told."""
        if reason is Reason.SLOW_READER:
            return None
        if reason is Reason.ERROR:
            problem = {"title": "The stream failed."}
#{% if cookiecutter.request_id %}
            problem["request_id"] = request_id.get()
#{% endif %}
            return encode_event(encode_json(problem), name=STREAM_ERROR)
        # All clients of a server that stops would otherwise reconnect in the same moment.
        return encode_retry(RETRY_MILLISECONDS // 2 + randbelow(RETRY_MILLISECONDS * 2))

    async def send_all(self, stream: OpenStream, receive: Receive, send: Send) -> None:
        """Leave the events to `Delivery` where the server's `send` can do without a task."""
        first = await anext(self.chunks)
        observed = ObservedSend(send)
        await self.send_chunk(stream, observed, first)
        if observed.waited:
            await super().send_all(stream, receive, send)
            return
        outlet = Outlet(self._delivery, self._topics, self._subscription, stream, send)
        try:
            with self._delivery.serving(outlet):
                await until_disconnected(receive)
        finally:
            with CancelScope(shield=True):
                await outlet.close()
        # The server reports its own end of the response as a disconnect.
        if stream.reason is not Reason.COMPLETE:
            stream.reason = Reason.CLIENT_DISCONNECT

    async def _chunks(self) -> AsyncGenerator[Chunk, None]:
        """Subscribe and yield `ready`; then, if nobody else takes them, the events."""
        async with self._broker.subscribe(self._topics, self._last_event_id) as subscription:
            self._subscription = subscription
            yield Chunk(opening(self._topics, subscription), 0)
            while True:
                with move_on_after(self._delivery.heartbeat) as idle:
                    events = await subscription.next()
                if idle.cancelled_caught:
                    yield BEAT
                elif not events:
                    return
                else:
                    for chunk in self._delivery.chunks(self._topics, events):
                        yield chunk


def opening(topics: Sequence[str], subscription: Subscription) -> bytes:
    """Return what every stream starts with."""
    names = encode_json({"topics": topics})
    if not subscription.reset:
        return encode_ready(names, id=subscription.position, retry=RETRY_MILLISECONDS)
    # A client that is cut off in between still has the id that tells of the loss.
    ready = encode_ready(names, id=None, retry=RETRY_MILLISECONDS)
    return ready + encode_event(names, name=RESET, id=subscription.position)
