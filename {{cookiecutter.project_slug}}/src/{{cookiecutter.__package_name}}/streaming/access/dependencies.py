"""Authorization of routes, as dependencies: `PUBLIC` or `requires(scope)`."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.authentication import BaseUser

from .tokens import Scope

PACKAGE = __name__.partition(".")[0]
COOKIE = f"{PACKAGE}_session"
"""Named after the service: cookies of a host are shared by all its ports."""

# These document how a request is authenticated; `AuthenticationMiddleware` does it.
bearer = HTTPBearer(auto_error=False, description="A token of `API_TOKENS`.")
cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="Set by `POST /session`.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
SessionCookie = Annotated[str | None, Security(cookie)]

CHALLENGE = "WWW-Authenticate"
HEADERS = {CHALLENGE: {"schema": {"type": "string"}, "description": "RFC 6750"}}
UNAUTHORIZED: dict[int | str, dict[str, Any]] = {
    401: {"description": "A valid token is required.", "headers": HEADERS},
}
SCOPE_ERRORS: dict[int | str, dict[str, Any]] = UNAUTHORIZED | {
    403: {"description": "The token lacks the required scope.", "headers": HEADERS},
}
"""The documentation of the errors of a route that requires a scope."""


@dataclass(frozen=True)
class Caller(BaseUser):
    """The caller of a request: `request.user`.

    `id` is the hash of its token, empty without a valid one; `error` as in RFC 6750, section 3.1.
    """

    id: str = ""
    by_session: bool = False
    error: str = ""

    @property
    def is_authenticated(self) -> bool:
        """Whether the request has a valid token or session."""
        return bool(self.id)


@dataclass(frozen=True)
class Requires:
    """A rule: the caller needs `scope`."""

    scope: Scope

    async def __call__(self, request: Request, _: Bearer, __: SessionCookie) -> None:
        """Raise `HTTPException`: 401 without authentication, 403 without the scope."""
        if self.scope in request.auth.scopes:
            return
        if not request.user.is_authenticated:
            raise unauthorized(request.user)
        challenge = f'Bearer error="insufficient_scope", scope="{self.scope}"'
        raise HTTPException(403, f"The scope {self.scope} is required.", {CHALLENGE: challenge})


async def require_token(request: Request, _: Bearer) -> Caller:
    """Return the caller. Raises `HTTPException`: 401 unless the request has a valid token."""
    caller: Caller = request.user
    if caller.by_session or not caller.is_authenticated:
        raise unauthorized(caller)
    return caller


def unauthorized(caller: Caller) -> HTTPException:
    """Return the 401 for a caller without a valid token (RFC 6750, section 3)."""
    challenge = f'error="{caller.error}"' if caller.error else f'realm="{PACKAGE}"'
    return HTTPException(401, "A valid token is required.", {CHALLENGE: f"Bearer {challenge}"})


async def allow_all() -> None:
    """Allow every caller."""


def requires(scope: Scope) -> Any:
    """Return the dependency of a route whose caller needs `scope`."""
    return Depends(Requires(scope))


PUBLIC = Depends(allow_all)
"""The dependency of a route that is open to every caller."""
