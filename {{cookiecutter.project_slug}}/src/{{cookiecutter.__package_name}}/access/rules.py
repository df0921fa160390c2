"""The rule of each route, which is kept before the route does anything."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from .sessions import Sessions
from .tokens import Scope, Tokens, find

COOKIE = "{{ cookiecutter.__package_name }}_session"
"""Named after the service, for cookies of one host are shared by all its ports."""

bearer = HTTPBearer(auto_error=False, description="A token of `API_TOKENS`.")
cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="What `POST /session` sets.")

Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
SessionCookie = Annotated[str | None, Security(cookie)]

CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750"}}
GUARDED: dict[int | str, dict[str, Any]] = {
    401: {"description": "A token is needed.", "headers": CHALLENGE},
    403: {"description": "The token is not for this.", "headers": CHALLENGE},
}
"""What a route with a rule answers to who may not."""


async def token_of_caller(request: Request, credentials: Credentials) -> str:
    """Return the hash of the caller's token.

    Raises `HTTPException`: 401 (RFC 6750, section 3).
    """
    if credentials is None:
        raise not_authenticated('Bearer realm="{{ cookiecutter.project_slug }}"')
    known = find(request.app.state.settings.api_tokens, credentials.credentials)
    if known is None:
        raise not_authenticated('Bearer error="invalid_token"')
    return known


async def scopes_of_caller(
    request: Request, credentials: Credentials, session: SessionCookie
) -> frozenset[Scope]:
    """Return what the caller may do: all of it where there are no tokens.

    Raises `HTTPException`: 401 (RFC 6750, section 3).
    """
    state = request.app.state
    tokens: Tokens = state.settings.api_tokens
    if not tokens:
        return frozenset(Scope)
    sessions: Sessions = state.sessions
    if credentials is None and session and (scopes := sessions.granted(session)) is not None:
        return scopes
    return tokens[await token_of_caller(request, credentials)]


async def scopes_of_request(request: Request) -> frozenset[Scope]:
    """Return what `scopes_of_caller` does, without FastAPI's help. Raises the same."""
    return await scopes_of_caller(request, await bearer(request), await cookie(request))


def not_authenticated(challenge: str) -> HTTPException:
    """Return the error of a caller that has no valid token."""
    return HTTPException(401, "A valid token is needed.", {"WWW-Authenticate": challenge})


TokenOfCaller = Annotated[str, Depends(token_of_caller)]
ScopesOfCaller = Annotated[frozenset[Scope], Depends(scopes_of_caller)]


@dataclass(frozen=True)
class Rule:
    """Only who has `scope` comes in."""

    scope: Scope

    async def __call__(self, scopes: ScopesOfCaller) -> None:
        """Raise `HTTPException`: 401 or 403 (RFC 6750, section 3.1)."""
        if self.scope not in scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{self.scope}"'
            raise HTTPException(
                403, f"The scope {self.scope} is needed.", {"WWW-Authenticate": challenge}
            )


async def anyone() -> None:
    """Let everyone in."""


def requires(scope: Scope) -> Any:
    """Return the dependency of a route for those who have `scope`."""
    return Depends(Rule(scope))


PUBLIC = Depends(anyone)
"""The dependency of a route for everyone."""


class GuardedRoute(APIRoute):
    """Keeps its rule before the body is read: FastAPI reads that before it asks a dependency."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, which is reached by who may."""
        handle = super().get_route_handler()
        calls = [each.dependency for each in self.dependencies]
        rules = [call for call in calls if isinstance(call, Rule)]

        async def handle_guarded(request: Request) -> Response:
            for rule in rules:
                await rule(await scopes_of_request(request))
            return await handle(request)

        return handle_guarded
