"""Sessions: a cookie for browsers, which cannot add a token to every request."""

from secrets import token_bytes
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from itsdangerous import BadSignature, TimestampSigner
from pydantic import BaseModel

from .dependencies import COOKIE, PUBLIC, UNAUTHORIZED, Caller, require_token
from .tokens import Scope, Tokens


class Sessions:
    """Signs session cookies, which are valid for `seconds`.

    A session grants the scopes of its token except for `publish`, since a browser sends the cookie
    with requests of any page, and ends with the token. Without a `secret` it ends with the process.
    """

    def __init__(self, tokens: Tokens, secret: str | None, seconds: int) -> None:
        self.seconds = seconds
        self._tokens = tokens
        self._signer = TimestampSigner(secret or token_bytes(32), salt="session")

    def sign(self, token_hash: str) -> str:
        """Return the cookie of a session."""
        return self._signer.sign(token_hash).decode()

    def verify(self, cookie: str) -> str | None:
        """Return the hash of the session's token; `None` for an invalid or expired cookie."""
        try:
            token_hash = self._signer.unsign(cookie, max_age=self.seconds).decode()
        except BadSignature:
            return None
        return token_hash if token_hash in self._tokens else None


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
