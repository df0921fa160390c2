"""Authentication of requests by token or session, once per request."""

from fastapi.security.utils import get_authorization_scheme_param
from starlette.authentication import AuthCredentials, AuthenticationBackend
from starlette.requests import HTTPConnection

from .dependencies import COOKIE, Caller
from .sessions import Sessions
from .tokens import Scope, Tokens, find_token


class TokenBackend(AuthenticationBackend):
    """Authenticates by `Authorization: Bearer`, else by the session cookie.

    Without tokens every caller has every scope. A session grants the scopes of its token except for
    `publish`, since a browser sends the cookie with requests of any page, and ends with the token.
    """

    def __init__(self, tokens: Tokens, sessions: Sessions) -> None:
        self._tokens = tokens
        self._sessions = sessions

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, Caller]:
        """Return the scopes of the request and its caller."""
        if not self._tokens:
            return AuthCredentials(list(Scope)), Caller()
        scheme, token = get_authorization_scheme_param(conn.headers.get("authorization"))
        if scheme.lower() == "bearer" and token:
            token_hash = find_token(self._tokens, token)
            if token_hash is None:
                return AuthCredentials(), Caller(error="invalid_token")
            return AuthCredentials(list(self._tokens[token_hash])), Caller(token_hash)
        token_hash = self._sessions.verify(conn.cookies.get(COOKIE, ""))
        if token_hash not in self._tokens:
            return AuthCredentials(), Caller()
        scopes = self._tokens[token_hash] - {"publish"}
        return AuthCredentials(list(scopes)), Caller(token_hash, by_session=True)
