#{% if cookiecutter.__uses.request_id and cookiecutter.__uses.security_headers %}
"""Headers of every response: the request id and the security headers."""
#{% elif cookiecutter.__uses.request_id %}
"""The request id: a header of every response, and a field of every log record."""
#{% else %}
"""Security headers of every response."""
#{% endif %}

#{% if cookiecutter.__uses.request_id %}
import logging
import re
#{% endif %}
#{% if cookiecutter.__uses.security_headers %}
from collections.abc import Awaitable, Mapping
#{% else %}
from collections.abc import Awaitable
#{% endif %}
#{% if cookiecutter.__uses.request_id %}
from contextvars import ContextVar
from typing import Any
from uuid import uuid4
#{% endif %}

#{% if cookiecutter.__uses.request_id %}
from starlette.datastructures import Headers, MutableHeaders
#{% else %}
from starlette.datastructures import MutableHeaders
#{% endif %}
from starlette.types import ASGIApp, Message, Receive, Scope, Send
#{% if cookiecutter.__uses.request_id %}
from uvicorn.config import LOGGING_CONFIG
from uvicorn.logging import AccessFormatter
#{% endif %}
#{% if cookiecutter.__uses.request_id %}

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the current request, which has a task of its own; `-` outside of one."""

# With hyphens (RFC 9562, section 4), or without, as in nginx's $request_id.
UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.I)


class RequestIdMiddleware:
    """Sets `X-Request-Id` on responses: that of the request if it is a UUID, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received = Headers(scope=scope).get("x-request-id", "")
        identifier = received if UUID.fullmatch(received) else str(uuid4())

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = identifier
            return send(message)

        # It is not reset: the server may log an exception when this returns.
        request_id.set(identifier)
        await self.app(scope, receive, send_with_id)


def log_request_ids() -> None:
    """Give every log record the `request_id`, and show it in the access log of uvicorn."""
    make_record = logging.getLogRecordFactory()

    def make_record_with_id(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make_record(*arguments, **options)
        record.request_id = request_id.get()
        return record

    if not hasattr(make_record("", 0, "", 0, "", (), None), "request_id"):
        logging.setLogRecordFactory(make_record_with_id)
    uvicorn_format = LOGGING_CONFIG["formatters"]["access"]["fmt"]
    for handler in logging.getLogger("uvicorn.access").handlers:
        formatter = handler.formatter
        if isinstance(formatter, AccessFormatter) and formatter._fmt == uvicorn_format:
            line = f"{uvicorn_format} %(request_id)s"
            handler.setFormatter(AccessFormatter(line, use_colors=formatter.use_colors))
#{% endif %}
#{% if cookiecutter.__uses.security_headers %}

#{% if cookiecutter.__uses.request_id %}

#{% endif %}
HSTS = "Strict-Transport-Security"


class SecurityHeadersMiddleware:
    """Sets `headers` where a response does not set them itself.

    `Strict-Transport-Security` is sent over HTTPS only (RFC 6797, section 7.2).
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self._headers = dict(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    if name != HSTS or scope["scheme"] == "https":
                        headers.setdefault(name, value)
            return send(message)

        await self.app(scope, receive, send_with_headers)
#{% endif %}
