"""The routes of a browser's session."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from .rules import COOKIE, GUARDED, PUBLIC, ScopesOfCaller, TokenOfCaller
from .sessions import Sessions
from .tokens import Scope

router = APIRouter(prefix="/session", tags=["session"])

UNAUTHORIZED: dict[int | str, dict[str, Any]] = {401: GUARDED[401]}


class Session(BaseModel):
    """What the caller may do."""

    scopes: list[Scope]


@router.get("", responses=UNAUTHORIZED)
async def show_session(response: Response, scopes: ScopesOfCaller) -> Session:
    """Tell what the caller may do, be it by token, by session or for want of tokens."""
    response.headers["Cache-Control"] = "no-store"
    return Session(scopes=sorted(scopes))


@router.post("", status_code=204, responses=UNAUTHORIZED)
async def sign_in(request: Request, response: Response, known: TokenOfCaller) -> None:
    """Set a cookie that reads what the token reads, and publishes nothing."""
    sessions: Sessions = request.app.state.sessions
    response.set_cookie(
        COOKIE,
        sessions.sign(known),
        max_age=sessions.seconds,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


@router.delete("", status_code=204, dependencies=[PUBLIC])
async def sign_out(response: Response) -> None:
    """Take the cookie away."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
