"""Publishing several events with a request: NDJSON, an event a line."""

import json
from collections.abc import Sequence
from typing import Any

from anyio import to_thread
from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from ..routes import StreamRoute
from .subscription import MAX_BUFFER_BYTES
from .wire import Payload, encode_payload

NDJSON = "application/x-ndjson"
MAX_BATCH_BYTES = MAX_BUFFER_BYTES // 2
"""Maximum size of the events of a request, so that it fills no subscriber's buffer."""


class NDJSONBody:
    """A dependency that returns a payload for each line; `model` has `data` and `event`.

    Raises `RequestValidationError`, which names the line, and `HTTPException` (413, 422) for a
    batch that is too large. A blank last line is ignored.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self._model: Any = model

    async def __call__(self, request: Request) -> Sequence[Payload]:
        settings = request.app.state.settings
        lines = (await request.body()).rstrip().split(b"\n")
        limit = settings.subscriber_buffer
        if len(lines) > limit:
            raise HTTPException(422, f"Too many lines: expected up to {limit}, got {len(lines)}.")
        payloads = await to_thread.run_sync(self._parse, lines, settings.max_event_bytes)
        if len(payloads) > 1 and sum(each.size for each in payloads) > MAX_BATCH_BYTES:
            raise HTTPException(413, f"The events are larger than {MAX_BATCH_BYTES} bytes.")
        return payloads

    def _parse(self, lines: Sequence[bytes], limit: int) -> list[Payload]:
        payloads: list[Payload] = []
        for number, line in enumerate(lines, 1):
            if len(line) > limit:
                raise HTTPException(413, f"Line {number} is larger than {limit} bytes.")
            try:
                event = self._model.model_validate(json.loads(line))
                payloads.append(encode_payload(event.data, event.event))
            except (ValueError, RecursionError) as error:
                errors: Sequence[Any] = [{"loc": (), "msg": str(error)}]
                if isinstance(error, ValidationError):
                    errors = error.errors()
                place = ("body", f"line {number}")
                raise RequestValidationError(
                    [{"loc": place + each["loc"], "msg": each["msg"]} for each in errors]
                ) from error
        return payloads


class PublishRoute(StreamRoute):
    """A route with `NDJSONBody` is for bodies of that media type only.

    It is declared before the route for other bodies of the same path.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the route is for the request."""
        match, child_scope = super().matches(scope)
        if any(isinstance(each.call, NDJSONBody) for each in self.dependant.dependencies):
            media_type = Headers(raw=scope.get("headers", [])).get("content-type", "")
            if media_type.partition(";")[0].strip().lower() != NDJSON:
                return Match.NONE, {}
            child_scope["max_body_bytes"] = MAX_BATCH_BYTES
        return match, child_scope


def describe_batch(event: type[BaseModel], published: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route for JSON whose path accepts NDJSON, too."""
    body, response = (
        {"content": {NDJSON: {"itemSchema": {"$ref": f"#/components/schemas/{model.__name__}"}}}}
        for model in (event, published)
    )
    return {"requestBody": body, "responses": {"201": response}}
