"""The responses that stream events to a browser's `EventSource` or any other client."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from secrets import randbelow
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

import msgspec
from anyio import CancelScope
from fastapi.sse import _SSE_EVENT_SCHEMA, ServerSentEvent, format_sse_event
from starlette.types import Message, Receive, Send

from ..generators import ItemFormat, Items, encoded, escape_line_separators
#{% if cookiecutter.__uses.request_id %}
from ..headers import request_id
#{% endif %}
from ..registry import Chunk, Reason, Stream
from ..response import ItemsResponse, until_disconnected
from .broker import Broker
from .fanout import Fanout, Subscriber
from .subscription import Subscription
from .wire import ANY, HEARTBEAT, RESET, STREAM_ERROR, encode_event, encode_json, require_event_name

RETRY_MILLISECONDS = 2000


def without_events(annotation: Any) -> Any:
    """Return a type without `ServerSentEvent`: `Item | ServerSentEvent` → `Item`."""
    if annotation is ServerSentEvent:
        return Any
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return Annotated[without_events(arguments[0]), *arguments[1:]]
    if get_origin(annotation) in (Union, UnionType):
        types = tuple(each for each in arguments if each is not ServerSentEvent)
        return Union[types]  # noqa: UP007
    return annotation


class EventItems(ItemFormat):
    """Items as the data of events; a `ServerSentEvent` has its own fields."""

    def __init__(self, annotation: Any, **options: Any) -> None:
        annotation = without_events(annotation)
        super().__init__(annotation, **options)
        self.documented = Annotated[annotation, EventSchema()]

    def chunks(self, items: Items, settings: Any) -> AsyncGenerator[Chunk, None]:
        return encoded(items, self.encode, settings.heartbeat_seconds)

    def encode(self, items: Sequence[Any]) -> bytes:
        if not items:
            return HEARTBEAT
        plain = [item for item in items if not isinstance(item, ServerSentEvent)]
        data = iter(msgspec.json.decode(self.json(self.validate(plain)), type=list[msgspec.Raw]))
        return b"".join(
            self.encode_event(item)
            if isinstance(item, ServerSentEvent)
            else b"data: %s\n\n" % next(data)
            for item in items
        )

    def encode_event(self, event: ServerSentEvent) -> bytes:
        """Return an event. Raises `ValueError` for an invalid field."""
        # Assignment does not validate.
        event = ServerSentEvent.model_validate(vars(event))
        if event.event is not None:
            require_event_name(event.event)
        data = event.raw_data
        if event.data is not None:
            json = ANY.dump_json(event.data, by_alias=True, fallback=self.options["fallback"])
            data = escape_line_separators(json).decode()
        fields = event.model_dump(include={"event", "id", "retry", "comment"})
        return format_sse_event(data_str=data, **fields)


class EventSchema:
    """Documents a type as the data of an event."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        # The schema of a recursive type is shared, and would be that of an event everywhere.
        return {"type": "chain", "steps": [handler(source)]}

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        data = {"type": "string", "contentMediaType": "application/json"}
        data["contentSchema"] = handler(core_schema)
        properties = {**_SSE_EVENT_SCHEMA["properties"], "data": data}
        return {**_SSE_EVENT_SCHEMA, "required": ["data"], "properties": properties}


class EventStreamResponse(ItemsResponse):
    """A stream of events. One that does not complete ends with `stream-error`."""

    media_type = "text/event-stream"
    item_format = EventItems
    # Proxies forward events as they come (RFC 10036), and do not compress them.
    own_headers: ClassVar[Mapping[str, str]] = {
        "Cache-Control": "no-cache, no-transform",
        "Incremental": "?1",
    }

    def closing(self, reason: Reason | None) -> bytes | None:
        """Return what failed; a client that is too slow is cut off."""
        if reason is Reason.SLOW_READER:
            return None
        problem = {"title": "The stream failed."}
#{% if cookiecutter.__uses.request_id %}
        problem["request_id"] = request_id.get()
#{% endif %}
        return encode_event(encode_json(problem), name=STREAM_ERROR)


class TopicStreamResponse(EventStreamResponse):
    """An endless stream of topics, which clients resume by `Last-Event-ID`.

    It starts with `ready`, and ends when all topics are finished.
    """

    items_name = "events"
    endless = True

    def __init__(
        self, broker: Broker, fanout: Fanout, topics: Sequence[str], last_event_id: str | None
    ) -> None:
        super().__init__()
        self._broker = broker
        self._fanout = fanout
        self._topics = tuple(topics)
        self._last_event_id = last_event_id

    def closing(self, reason: Reason | None) -> bytes | None:
        """Return when to reconnect, unless the stream failed."""
        is_cut = reason is Reason.SHUTDOWN and not self.endless
        if is_cut or reason in (Reason.SLOW_READER, Reason.ERROR):
            return super().closing(reason)
        # Jitter: otherwise all clients of a server that shuts down reconnect at the same time.
        return b"retry: %d\n\n" % (RETRY_MILLISECONDS // 2 + randbelow(RETRY_MILLISECONDS * 2))

    async def send_body(self, stream: Stream, receive: Receive, send: Send) -> None:
        """Send `ready`, then leave the events to the fan-out until the client disconnects."""
        async with self._broker.subscribe(self._topics, self._last_event_id) as subscription:
            waited = asyncio.Event()

            async def observed_send(message: Message) -> None:
                # The event loop runs the callback only if `send` has to wait.
                callback = asyncio.get_running_loop().call_soon(waited.set)
                await send(message)
                callback.cancel()

            chunk = Chunk(opening(self._topics, subscription), 0)
            await self.send_chunk(stream, observed_send, chunk)
            waits = waited.is_set()
            subscriber = Subscriber(self._fanout, self._topics, subscription, stream, send, waits)
            try:
                with self._fanout.serving(subscriber):
                    await until_disconnected(receive)
                    # The server reports the end of the response as a disconnect, too.
                    await subscriber.settle()
                    stream.end(Reason.CLIENT_DISCONNECT)
            finally:
                stream.disarm()
                with CancelScope(shield=True):
                    await subscriber.close()


def opening(topics: Sequence[str], subscription: Subscription) -> bytes:
    """Return the first bytes of a stream; clients reconnect after `RETRY_MILLISECONDS`."""
    names = encode_json({"topics": topics})
    ready = b"retry: %d\nevent: ready\ndata: %s\n" % (RETRY_MILLISECONDS, names)
    if subscription.reset:
        # `ready` has no id: a client that disconnects before `reset` receives it again.
        return ready + b"\n" + encode_event(names, name=RESET, id=subscription.position)
    # With an id, a client that is cut off before its first event resumes where it started.
    position = subscription.position
    return ready + (b"\n" if position is None else b"id: %s\n\n" % position.encode())
