"""Protection against requests of other origins' pages (CSRF)."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import ProblemResponse

HEALTH_PATH = "/health"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
"""Methods that change nothing (RFC 9110, section 9.2.1)."""


class CrossOriginMiddleware:
    """Rejects unsafe requests of pages of other origins, except for `origins`.

    With `protect_reads` it rejects safe ones too, except for navigation: otherwise any page that is
    open on this machine could read. `/health` is always open.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str], protect_reads: bool = False) -> None:
        self.app = app
        self._origins = frozenset(origins)
        self._protect_reads = protect_reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and self._is_cross_origin(scope):
            problem = ProblemResponse(403, "Requests of other origins are not allowed.")
            await problem(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_cross_origin(self, scope: Scope) -> bool:
        """Return whether a browser sends the request for a page that is not allowed to send it."""
        if scope["path"].removeprefix(scope.get("root_path", "")) == HEALTH_PATH:
            return False
        headers = Headers(scope=scope)
        if scope.get("method") in SAFE_METHODS and (
            not self._protect_reads or headers.get("sec-fetch-mode") == "navigate"
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
