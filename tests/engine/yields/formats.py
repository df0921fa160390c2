"""The formats in which a path operation can yield, and applications that do."""

import csv
import io
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from streaming_api import streaming
from streaming_api.streaming import StreamRoute
from streaming_api.streaming.openapi import StreamingAPI
from streaming_api.streaming.problems import problem_handlers
from streaming_api.streaming.registry import Streams
from streaming_api.streaming.response import ItemsResponse

from ..variant import CSV, NDJSON, SSE


class Tick(BaseModel):
    """An item."""

    n: int


class Format(NamedTuple):
    """A format: its response class, and how a client reads the numbers of its ticks."""

    response_class: type[ItemsResponse]
    media_type: str
    read: Callable[[str], list[int]]

    @property
    def has_header(self) -> bool:
        """Whether names precede the items."""
        return self.media_type == "text/csv"

    @property
    def is_file(self) -> bool:
        """Whether a failure is a failed transfer."""
        return self.media_type != "text/event-stream"


def read_lines(text: str) -> list[int]:
    return [json.loads(line)["n"] for line in text.splitlines()]


def read_records(text: str) -> list[int]:
    return [int(record["n"]) for record in csv.DictReader(io.StringIO(text))]


def read_events(text: str) -> list[int]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [document["n"] for document in map(json.loads, data) if "n" in document]


READERS = {
    "NDJSONResponse": ("application/x-ndjson", read_lines),
    "CSVResponse": ("text/csv", read_records),
    "EventStreamResponse": ("text/event-stream", read_events),
}
CHOSEN = {"NDJSONResponse": NDJSON, "CSVResponse": CSV, "EventStreamResponse": SSE}
FORMATS = [
    Format(getattr(streaming, name), *READERS[name])
    for name, is_chosen in CHOSEN.items()
    if is_chosen
]


def application(
    endpoint: Callable[..., Any],
    format: Format,
    *,
    methods: list[str] | None = None,
    settings: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    **options: Any,
) -> FastAPI:
    """Return an application that streams what `endpoint` yields at `/stream`."""
    app = StreamingAPI(exception_handlers=problem_handlers)
    prepare(app, settings, limits)
    router = APIRouter(route_class=StreamRoute)
    options = {"response_class": format.response_class, **options}
    router.add_api_route("/stream", endpoint, methods=methods or ["GET"], **options)
    app.include_router(router)
    return app


def prepare(
    app: FastAPI, settings: dict[str, Any] | None = None, limits: dict[str, Any] | None = None
) -> None:
    """Set what streams use of the state of an application."""
    defaults: dict[str, Any] = {
        "api_tokens": {},
        "csv_escape_formulas": True,
        "heartbeat_seconds": 15,
        "max_event_bytes": 1000,
    }
    app.state.settings = SimpleNamespace(**defaults | (settings or {}))
    streams = {"send_timeout": 10, "max_seconds": 0, "max_per_client": 20, "grace": 10}
    app.state.streams = Streams(**streams | (limits or {}))
