"""What is turned away before any route is looked for."""

from collections.abc import Collection

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
    in from this machine. So pages of other sites change nothing; and with `local_only` they ask for
    nothing either, nor does a page whose host was pointed at this machine (DNS rebinding).
    """

    def __init__(
        self, app: ASGIApp, *, local_only: bool, hosts: Collection[str], origins: Collection[str]
    ) -> None:
        self.app = app
        self._local_only = local_only
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ProblemResponse | None:
        if scope["path"].removeprefix(scope.get("root_path", "")) == ALWAYS_OPEN:
            return None
        headers = Headers(scope=scope)
        host = host_name(headers.get("host", ""))
        if (self._hosts and host not in self._hosts) or (headers.get("host") and not host):
            return ProblemResponse(400, "This service has another host name.")
        if self._local_only and not is_local(scope, headers):
            detail = "Without API_TOKENS this service answers on its own machine only."
            return ProblemResponse(403, detail)
        if self._local_only and not self._hosts and can_be_rebound(host):
            detail = "Without API_TOKENS or ALLOWED_HOSTS this service answers to localhost only."
            return ProblemResponse(403, detail)
        if self._is_of_another_site(scope, headers):
            return ProblemResponse(403, "A page of another origin may not do this.")
        return None

    def _is_of_another_site(self, scope: Scope, headers: Headers) -> bool:
        """Tell whether a page of another origin asks for what it may not, by what browsers say.

        A link may lead here from anywhere. Only what is no browser says nothing.
        """
        if scope.get("method") in SAFE_METHODS and (
            not self._local_only or headers.get("sec-fetch-mode") == "navigate"
        ):
            return False
        origin = headers.get("origin")
        if origin in self._origins:
            return False
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("same-origin", "none")
        host = headers.get("host")
        return origin not in (None, f"http://{host}", f"https://{host}")


def is_local(scope: Scope, headers: Headers) -> bool:
    """Tell whether the client, and every proxy that it came through, is on this machine.

    What stands before a socket file is not known. A name is that of a client in this process, as in
    a test: no network gives one.
    """
    client: tuple[str, int] | None = scope.get("client")
    if client is None:
        return False
    forwarded = ",".join(headers.getlist("x-forwarded-for"))
    if not forwarded:
        return is_loopback(client[0]) or not is_address(client[0])
    hops = (client[0], *map(str.strip, forwarded.split(",")))
    return all(is_address(hop) and is_loopback(hop) for hop in hops)
