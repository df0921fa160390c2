"""The wire format of `text/event-stream` (HTML standard, section 9.2.6)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from fastapi.encoders import jsonable_encoder
from pydantic import TypeAdapter

from ..generators import escape_line_separators
from ..registry import CHUNK_BYTES, Chunk

ANY: TypeAdapter[Any] = TypeAdapter(Any)
HEARTBEAT = b": heartbeat\n\n"
EVENT_OVERHEAD = 512
"""Size in memory of an event without data and name."""
TOPIC = r"^[A-Za-z0-9._-]{1,128}$"
READY = "ready"
RESET = "reset"
DONE = "done"
STREAM_ERROR = "stream-error"
RESERVED_NAMES = frozenset({"error", "open", READY, DONE, RESET, STREAM_ERROR})
"""Names of events that EventSource or the service sends by itself."""
EVENT_NAME = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
"""One line without control characters, by any reader's idea of a line."""


class Payload(NamedTuple):
    """JSON on one line, and the name of the event."""

    data: bytes
    name: str | None

    @property
    def size(self) -> int:
        """The number of bytes of the event in memory, about."""
        return len(self.data) + len(self.name or "") + EVENT_OVERHEAD


def encode_payload(value: Any, name: str | None) -> Payload:
    """Return the payload of an event. Raises `ValueError` for an invalid value or name."""
    if name is not None:
        require_event_name(name)
    return Payload(encode_json(value), name)


def encode_json(value: Any) -> bytes:
    """Return `value` as JSON (RFC 8259) on one line.

    Infinities and NaN become `null`. Raises `ValueError` for a value that JSON cannot represent.
    """
    try:
        return escape_line_separators(msgspec.json.encode(value, enc_hook=to_plain))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"Invalid event data: {error}") from None


def to_plain(value: Any) -> Any:
    """Return what FastAPI makes of `value`, in types of JSON; `None` and booleans are keys."""
    json = ANY.dump_json(value, fallback=jsonable_encoder)
    return json.decode() if isinstance(value, bool | None) else msgspec.json.decode(json)


def require_topic(topic: str) -> None:
    """Raise `ValueError` for an invalid topic."""
    if not re.fullmatch(TOPIC, topic):
        raise ValueError(f"Invalid topic {topic!r}: expected up to 128 of A-Z a-z 0-9 . _ -")


def require_event_name(name: str) -> None:
    """Raise `ValueError` for a name that is reserved, not one line or not Unicode text."""
    name.encode()
    if not re.fullmatch(EVENT_NAME, name):
        raise ValueError(f"Invalid event name {name!r}: expected one line of text")
    if name in RESERVED_NAMES:
        raise ValueError(f"Invalid event name {name!r}: reserved")


def encode_event(data: bytes, *, name: str | None = None, id: str | None = None) -> bytes:
    """Return an event; `data` is JSON on one line."""
    head = "" if id is None else f"id: {id}\n"
    if name is not None:
        head += f"event: {name}\n"
    return b"%sdata: %s\n\n" % (head.encode(), data)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Event:
    """A published event; `data` is JSON on one line."""

    id: str
    topic: str
    data: bytes
    name: str | None = None
    size: int = field(init=False, compare=False)
    """The number of bytes in memory, about; computed once for all subscribers."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", Payload(self.data, self.name).size)

    def encode(self, *, multiplexed: bool) -> bytes:
        """Return the event on a stream of its topic, or of several topics."""
        data = self.data
        if multiplexed:
            data = b'{"topic":"%s","data":%s}' % (self.topic.encode(), data)
        return encode_event(data, name=self.name, id=self.id)


def coalesce(events: Sequence[Event], *, multiplexed: bool) -> Iterator[Chunk]:
    """Yield `events` in chunks of up to `CHUNK_BYTES`.

    A larger event has several chunks, of which the last one counts and the others are partial.
    """
    pieces: list[bytes] = []
    size = 0
    for event in events:
        encoded = event.encode(multiplexed=multiplexed)
        if pieces and size + len(encoded) > CHUNK_BYTES:
            yield Chunk(b"".join(pieces), len(pieces))
            pieces, size = [], 0
        last = (len(encoded) - 1) // CHUNK_BYTES * CHUNK_BYTES
        for start in range(0, last, CHUNK_BYTES):
            yield Chunk(encoded[start : start + CHUNK_BYTES], 0, is_partial=True)
        pieces.append(encoded[last:])
        size += len(encoded) - last
    yield Chunk(b"".join(pieces), len(pieces))
