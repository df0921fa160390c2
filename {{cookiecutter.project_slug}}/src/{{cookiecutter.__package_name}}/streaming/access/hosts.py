"""Protection of a service without tokens: only this machine, and no DNS rebinding."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Scope

from ..origins import RejectingMiddleware
from ..problems import ProblemResponse
from ..registry import parse_address

# Headers in which proxies name the client: `X-Real-IP`, `CF-Connecting-IP`, `True-Client-IP`.
CLIENT_ADDRESS = re.compile(
    ".*(forwarded-for|(client|connecting|connection|real|remote|socket|source|user)-?ip(v6)?"
    "|(external|remote|viewer)-addr(ess)?)"
)
PROXY = {"cdn-loop", "forwarded", "via"}
"""Other headers of proxies."""


class HostMiddleware(RejectingMiddleware):
    """Rejects requests for other host names and, if `local_only`, from other machines.

    A web page can point its own host name at this machine (DNS rebinding): with `local_only` and
    without `hosts` only host names of this machine are accepted.
    """

    def __init__(self, app: ASGIApp, *, local_only: bool, hosts: Collection[str]) -> None:
        self.app = app
        self._local_only = local_only
        self._hosts = frozenset(hosts)

    def find_problem(self, scope: Scope, headers: Headers) -> ProblemResponse | None:
        hosts = headers.getlist("host")
        host = host_name(hosts[0]) if len(hosts) == 1 else ""
        if (self._hosts and host not in self._hosts) or (any(hosts) and not host):
            return ProblemResponse(400, "Invalid Host header.")
        if self._local_only and not is_local(scope, headers):
            detail = "Only local requests are accepted. Set API_TOKENS to allow remote clients."
            return ProblemResponse(403, detail)
        # Others can register a name with a dot.
        is_public = "." in host and parse_address(host) is None and not is_loopback(host)
        if self._local_only and not self._hosts and is_public:
            detail = "Only localhost is accepted. Set API_TOKENS or ALLOWED_HOSTS for other names."
            return ProblemResponse(403, detail)
        return None


def is_local(scope: Scope, headers: Headers) -> bool:
    """Return whether the client and all proxies on the way are on this machine.

    The client of a Unix domain socket is unknown. A name instead of an address is that of a test.
    """
    client: tuple[str, int] | None = scope.get("client")
    if client is None or not PROXY.isdisjoint(headers):
        return False
    named = [value for name, value in headers.items() if CLIENT_ADDRESS.fullmatch(name)]
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
    return address.is_loopback if address else f".{host}".endswith(".localhost")
