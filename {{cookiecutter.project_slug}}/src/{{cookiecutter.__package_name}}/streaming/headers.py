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
from collections.abc import Awaitable
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
    """Sets `X-Request-Id` on every response: that of the request if it is a UUID, else a new one."""

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
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
# Features that the pages of this service do not use.
PERMISSIONS_POLICY = (
    "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), display-capture=(), "
    "encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), "
    "idle-detection=(), magnetometer=(), microphone=(), midi=(), payment=(), "
    "picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), "
    "xr-spatial-tracking=()"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": PERMISSIONS_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
    "X-Frame-Options": "DENY",
    "X-Permitted-Cross-Domain-Policies": "none",
}
HSTS = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains"}
"""Sent over HTTPS only (RFC 6797, section 7.2)."""


class SecurityHeadersMiddleware:
    """Sets the headers of the OWASP Secure Headers Project where a response does not set them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        security_headers = SECURITY_HEADERS | (HSTS if scope["scheme"] == "https" else {})

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in security_headers.items():
                    headers.setdefault(name, value)
            return send(message)

        await self.app(scope, receive, send_with_headers)
#{% endif %}
