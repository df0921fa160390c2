"""The bytes of `text/event-stream` (HTML standard, section 9.2.6)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from ..streaming import escape_line_separators

HEARTBEAT = b": heartbeat\n\n"
LARGEST_CHUNK = 64 * 1024
TOPIC = r"^[A-Za-z0-9._-]{1,128}$"
READY = "ready"
RESET = "reset"
DONE = "done"
STREAM_ERROR = "stream-error"
RESERVED_NAMES = frozenset({"error", "open", READY, DONE, RESET, STREAM_ERROR})
"""Names of events that EventSource or this service sends by itself."""

NO_LINE = re.compile(r"[\r\n\x00\v\f\x1c-\x1e\x85\u2028\u2029]")
"""What ends a line for EventSource, makes it drop an id, or ends a line for `str.splitlines`."""


def encode_json(value: Any) -> bytes:
    """Return `value` as JSON (RFC 8259) on one line, by any reader's idea of a line.

    A float that JSON has no number for is `null`. Raises `UnicodeEncodeError` for text that holds
    half of a surrogate pair.
    """
    return escape_line_separators(msgspec.json.encode(value))


def require_one_line(**fields: str | None) -> None:
    """Raise `ValueError` for a field with a line end, which would start a field of its own."""
    for field, value in fields.items():
        if value is not None and NO_LINE.search(value):
            raise ValueError(f"{field}: {value!r} is not one line")


def encode_event(data: bytes, *, name: str | None = None, id: str | None = None) -> bytes:
    """Return an event; `data` is JSON on one line. Raises `ValueError` as `Event` does."""
    require_one_line(id=id, event=name)
    head = "" if id is None else f"id: {id}\n"
    if name is not None:
        head += f"event: {name}\n"
    return b"%sdata: %s\n\n" % (head.encode(), data)


def encode_ready(data: bytes, *, id: str | None, retry: int) -> bytes:
    """Return the first event of a stream; a client reconnects after `retry` milliseconds.

    With `id` a client that is cut off before its first event resumes where it started.
    """
    tail = "" if id is None else f"id: {id}\n"
    return b"retry: %d\nevent: ready\ndata: %s\n%s\n" % (retry, data, tail.encode())


def encode_retry(milliseconds: int) -> bytes:
    """Return what tells a client to wait that long before it reconnects, and nothing else."""
    return b"retry: %d\n\n" % milliseconds


@dataclass(frozen=True)
class Event:
    """One published event; `data` is JSON on one line.

    Raises `ValueError` when `name` or `id` would start a field of its own.
    """

    id: str
    topic: str
    data: bytes
    name: str | None = None

    def __post_init__(self) -> None:
        require_one_line(id=self.id, event=self.name)

    @cached_property
    def alone(self) -> bytes:
        """The event on a stream of its topic."""
        return encode_event(self.data, name=self.name, id=self.id)

    @cached_property
    def tagged(self) -> bytes:
        """The event on a stream of several topics."""
        data = b'{"topic":"%s","data":%s}' % (self.topic.encode(), self.data)
        return encode_event(data, name=self.name, id=self.id)


def joined(events: Sequence[Event], *, tagged: bool) -> Iterator[tuple[bytes, int]]:
    """Yield the bytes of `events` in pieces of up to `LARGEST_CHUNK`, each with their number."""
    pieces: list[bytes] = []
    size = 0
    for event in events:
        piece = event.tagged if tagged else event.alone
        if pieces and size + len(piece) > LARGEST_CHUNK:
            yield b"".join(pieces), len(pieces)
            pieces, size = [], 0
        pieces.append(piece)
        size += len(piece)
    yield b"".join(pieces), len(pieces)
