"""Rejection of requests before they reach a route; those of pages of other origins (CSRF)."""

from abc import ABC, abstractmethod
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from .problems import ProblemResponse

HEALTH_PATHS = {"/health", "/live", "/ready"}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
"""Methods that change nothing (RFC 9110, section 9.2.1)."""


class RejectingMiddleware(ABC):
    """Rejects requests and WebSockets that have a problem. Health checks are always open."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] != "lifespan":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            problem = self.find_problem(scope, Headers(scope=scope))
            if problem and path not in HEALTH_PATHS:
                # uvicorn reports a response to a WebSocket as an error of the application.
                app = WebSocketClose(1008) if scope["type"] == "websocket" else problem
        await app(scope, receive, send)

    @abstractmethod
    def find_problem(self, scope: Scope, headers: Headers) -> ProblemResponse | None:
        """Return the response to a request that is rejected."""


class CrossOriginMiddleware(RejectingMiddleware):
    """Rejects unsafe requests from pages of other origins, except for `origins`.

    With `protect_reads` it rejects safe ones too, except for links to documents: otherwise any page
    that is open on this machine could start streams.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str], protect_reads: bool = False) -> None:
        self.app = app
        self._origins = frozenset(origins)
        self._protect_reads = protect_reads

    def find_problem(self, scope: Scope, headers: Headers) -> ProblemResponse | None:
        # In a frame or an object a page of another origin could load one stream after another.
        fetch = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
        is_protected = self._protect_reads and fetch != ("navigate", "document")
        if scope.get("method") in SAFE_METHODS and not is_protected:
            return None
        origin, site, host = map(headers.get, ("origin", "sec-fetch-site", "host"))
        if origin in self._origins or site in ("same-origin", "none"):
            return None
        # Clients that are not browsers send neither header.
        if site is None and origin in (None, f"http://{host}", f"https://{host}"):
            return None
        return ProblemResponse(403, "Cross-origin requests are not allowed.")
