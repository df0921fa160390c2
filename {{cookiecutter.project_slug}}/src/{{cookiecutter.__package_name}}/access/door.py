"""What is turned away before any route is looked for."""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..problems import ProblemResponse
from .hosts import can_be_rebound, host_name, is_address, is_loopback

ALWAYS_OPEN = "/health"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
"""Those that change nothing (RFC 9110, section 9.2.1)."""


class DoorMiddleware:
    """Turns away who is not on this machine (`local_only`), other hosts, and pages of other sites.

    Without tokens everyone who gets in may do everything, and the pages that a browser has open get
    in from this machine: so `local_only` also refuses the name of any host that someone could have
    pointed at it (DNS rebinding), and no page of another site can change anything.
    """

    def __init__(
        self, app: ASGIApp, *, local_only: bool, hosts: Collection[str], origins: Collection[str]
    ) -> None:
        self.app = app
        self._local_only = local_only
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None
        if scope["type"] == "http" and scope["path"] != ALWAYS_OPEN:
            refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ProblemResponse | None:
        headers = Headers(scope=scope)
        host = host_name(headers.get("host", ""))
        if self._hosts and host not in self._hosts:
            return ProblemResponse(400, "This service has another host name.")
        if self._local_only and not is_local(scope):
            detail = "Without API_TOKENS this service answers on its own machine only."
            return ProblemResponse(403, detail)
        if self._local_only and not self._hosts and can_be_rebound(host):
            detail = "Without API_TOKENS or ALLOWED_HOSTS this service answers to localhost only."
            return ProblemResponse(403, detail)
        if scope["method"] not in SAFE_METHODS and self._is_cross_origin(headers):
            return ProblemResponse(403, "A page of another origin may not do this.")
        return None

    def _is_cross_origin(self, headers: Headers) -> bool:
        """Tell whether a page of another origin asks, by what browsers say of it.

        Only what is no browser says nothing.
        """
        origin = headers.get("origin")
        if origin in self._origins:
            return False
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("same-origin", "none")
        return origin is not None and urlsplit(origin).netloc != headers.get("host")


def is_local(scope: Scope) -> bool:
    """Tell whether the client is on this machine.

    One without an address came through a socket file, for whoever stands before that. A name is
    that of a client in this process, as in a test.
    """
    client: tuple[str, int] | None = scope.get("client")
    return client is not None and (is_loopback(client[0]) or not is_address(client[0]))
