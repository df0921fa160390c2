"""Authentication by token or session: a cookie for browsers, which cannot always add a token."""

from secrets import token_bytes
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security.utils import get_authorization_scheme_param
from itsdangerous import BadSignature, TimestampSigner
from pydantic import BaseModel
from starlette.authentication import AuthCredentials, AuthenticationBackend
from starlette.requests import HTTPConnection

from .dependencies import COOKIE, PUBLIC, UNAUTHORIZED, Caller, require_token
from .tokens import Scope, Tokens, find_token


class Sessions:
    """Signs session cookies, which are valid for `seconds`.

    Without a `secret` sessions end with the process.
    """

    def __init__(self, secret: str | None, seconds: int) -> None:
        self.seconds = seconds
        self._signer = TimestampSigner(secret or token_bytes(32), salt="session")

    def sign(self, token_hash: str) -> str:
        """Return the cookie of a session."""
        return self._signer.sign(token_hash).decode()

    def verify(self, cookie: str) -> str:
        """Return the hash of the session's token; empty for an invalid or expired cookie."""
        try:
            return self._signer.unsign(cookie, max_age=self.seconds).decode()
        except BadSignature:
            return ""


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


class Session(BaseModel):
    """The scopes of the caller; `anonymous` if the service has no tokens."""

    scopes: list[Scope]
    anonymous: bool


router = APIRouter(prefix="/session", tags=["session"])


@router.get("", dependencies=[PUBLIC])
async def get_session(request: Request, response: Response) -> Session:
    """Return the scopes of the caller."""
    response.headers["Cache-Control"] = "no-store"
    return Session(
        scopes=sorted(map(Scope, request.auth.scopes)),
        anonymous=not request.app.state.settings.api_tokens,
    )


@router.post("", status_code=204, responses=UNAUTHORIZED)
async def sign_in(
    request: Request, response: Response, caller: Annotated[Caller, Depends(require_token)]
) -> None:
    """Set a session cookie, which grants what the token grants except for publishing."""
    sessions: Sessions = request.app.state.sessions
    response.set_cookie(
        COOKIE,
        sessions.sign(caller.id),
        max_age=sessions.seconds,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


@router.delete("", status_code=204, dependencies=[PUBLIC])
async def sign_out(response: Response) -> None:
    """Delete the session cookie."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
