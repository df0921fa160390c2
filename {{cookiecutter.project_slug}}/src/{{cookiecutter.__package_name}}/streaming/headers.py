#{% if cookiecutter.__uses.request_id and cookiecutter.__uses.security_headers %}
"""Headers of every response: the request id and the security headers."""
#{% elif cookiecutter.__uses.request_id %}
"""The request id: a header of every response, and a field of log lines."""
#{% else %}
"""Security headers of every response."""
#{% endif %}

#{% if cookiecutter.__uses.request_id %}
import re
#{% endif %}
#{% if cookiecutter.__uses.security_headers %}
from collections.abc import Awaitable, Mapping
#{% else %}
from collections.abc import Awaitable
#{% endif %}
#{% if cookiecutter.__uses.request_id %}
from contextvars import ContextVar
from uuid import uuid4
#{% endif %}

#{% if cookiecutter.__uses.request_id %}
from starlette.datastructures import Headers, MutableHeaders
#{% else %}
from starlette.datastructures import MutableHeaders
#{% endif %}
from starlette.types import ASGIApp, Message, Receive, Scope, Send
#{% if cookiecutter.__uses.request_id %}

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the current request; `-` outside of one."""

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

        token = request_id.set(identifier)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            request_id.reset(token)
#{% endif %}
#{% if cookiecutter.__uses.security_headers %}

#{% if cookiecutter.__uses.request_id %}

#{% endif %}
HSTS = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains"}
"""Sent over HTTPS only (RFC 6797, section 7.2)."""


class SecurityHeadersMiddleware:
    """Sets `headers` where a response does not set them itself, and HSTS over HTTPS."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self._headers = dict(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        security_headers = self._headers | (HSTS if scope["scheme"] == "https" else {})

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in security_headers.items():
                    headers.setdefault(name, value)
            return send(message)

        await self.app(scope, receive, send_with_headers)
#{% endif %}
