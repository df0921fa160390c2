"""Protection of a service without tokens: only this machine, and no DNS rebinding."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..origins import is_health_check, rejection
from ..problems import ProblemResponse
from ..registry import parse_address

# Headers in which proxies name the client: `X-Real-IP`, `CF-Connecting-IP`, `True-Client-IP`.
CLIENT_ADDRESS = re.compile(
    ".*(forwarded-for|(client|connecting|connection|real|remote|socket|source|user)-?ip(v6)?"
    "|(external|remote|viewer)-addr(ess)?)"
)
PROXY = {"cdn-loop", "forwarded", "via"}
"""Other headers of proxies."""


class HostMiddleware:
    """Rejects requests for other host names and, if `local_only`, from other machines.

    A web page can point its own host name at this machine (DNS rebinding): with `local_only` and
    without `hosts` only host names of this machine are accepted. Health checks are always open.
    """

    def __init__(self, app: ASGIApp, *, local_only: bool, hosts: Collection[str]) -> None:
        self.app = app
        self._local_only = local_only
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = None if scope["type"] == "lifespan" else self._problem(scope)
        app = rejection(problem, scope) if problem else self.app
        await app(scope, receive, send)

    def _problem(self, scope: Scope) -> ProblemResponse | None:
        if is_health_check(scope):
            return None
        headers = Headers(scope=scope)
        host = host_name(headers.get("host", ""))
        if (self._hosts and host not in self._hosts) or (headers.get("host") and not host):
            return ProblemResponse(400, "Invalid Host header.")
        if self._local_only and not is_local(scope, headers):
            detail = "Only local requests are accepted. Set API_TOKENS to allow remote clients."
            return ProblemResponse(403, detail)
        if self._local_only and not self._hosts and is_public_name(host):
            detail = "Only localhost is accepted. Set API_TOKENS or ALLOWED_HOSTS for other names."
            return ProblemResponse(403, detail)
        return None


def is_local(scope: Scope, headers: Headers) -> bool:
    """Return whether the client and all proxies on the way are on this machine.

    The client of a socket file is unknown. A name instead of an address is a client in a test.
    """
    client: tuple[str, int] | None = scope.get("client")
    if client is None:
        return False
    named = [value for name, value in headers.items() if CLIENT_ADDRESS.fullmatch(name)]
    if not PROXY.isdisjoint(headers):
        return False
    if not named:
        is_own = is_loopback(client[0]) or parse_address(client[0]) is None
        return is_own and not any(name.startswith("x-forwarded") for name in headers)
    hops = [parse_address(hop.strip()) for hop in (client[0], *",".join(named).split(","))]
    return all(hop is not None and hop.is_loopback for hop in hops)


def host_name(host: str) -> str:
    """Return the name or address in a `Host` header, without the port; empty if it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, is the loopback interface."""
    address = parse_address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback


def is_public_name(host: str) -> bool:
    """Return whether `host` is a name that others can register: one with a dot."""
    return "." in host and parse_address(host) is None and not is_loopback(host)
