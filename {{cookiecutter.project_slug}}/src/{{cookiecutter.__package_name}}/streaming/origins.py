"""Protection against requests from pages of other origins (CSRF)."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from .problems import ProblemResponse

HEALTH_PATHS = {"/health", "/live", "/ready"}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
"""Methods that change nothing (RFC 9110, section 9.2.1)."""


class CrossOriginMiddleware:
    """Rejects unsafe requests from pages of other origins, except for `origins`.

    With `protect_reads` it rejects safe ones too, except for links to documents: otherwise any page
    that is open on this machine could start exports. Health checks are always open.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str], protect_reads: bool = False) -> None:
        self.app = app
        self._origins = frozenset(origins)
        self._protect_reads = protect_reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and self._is_cross_origin(scope):
            problem = ProblemResponse(403, "Cross-origin requests are not allowed.")
            await rejection(problem, scope)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_cross_origin(self, scope: Scope) -> bool:
        """Return whether a browser sends the request for a page that is not allowed to send it."""
        if is_health_check(scope):
            return False
        headers = Headers(scope=scope)
        # In a frame or an object a page of another origin could load one export after another.
        fetch = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
        if scope.get("method") in SAFE_METHODS and (
            not self._protect_reads or fetch == ("navigate", "document")
        ):
            return False
        origin = headers.get("origin")
        if origin in self._origins:
            return False
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("same-origin", "none")
        # Clients that are not browsers send neither header.
        host = headers.get("host")
        return origin not in (None, f"http://{host}", f"https://{host}")


def is_health_check(scope: Scope) -> bool:
    """Return whether the request is for a health check, which everyone may send."""
    return scope["path"].removeprefix(scope.get("root_path", "")) in HEALTH_PATHS


def rejection(problem: ProblemResponse, scope: Scope) -> ASGIApp:
    """Return the response to a rejected request: `problem`, or the end of a WebSocket.

    uvicorn reports a response to a WebSocket as an error of the application.
    """
    return WebSocketClose(1008) if scope["type"] == "websocket" else problem
