"""One id for a request, its response and every log record in between."""

import re
from collections.abc import Awaitable
from contextvars import ContextVar
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request that is being served; `-` outside of one."""

# With hyphens (RFC 9562, section 4) or without, as nginx writes its $request_id.
UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.I)


class RequestIdMiddleware:
    """Sets `X-Request-Id` on every response: the client's own when it is a UUID, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        identifier = given if UUID.fullmatch(given) else str(uuid4())

        def send_identified(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = identifier
            return send(message)

        token = request_id.set(identifier)
        try:
            await self.app(scope, receive, send_identified)
        finally:
            request_id.reset(token)
