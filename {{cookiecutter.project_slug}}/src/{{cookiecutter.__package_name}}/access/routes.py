"""The routes of a browser's session."""

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

from .rules import COOKIE, GUARDED, PUBLIC, TokenOfCaller, scopes_of_request
from .sessions import Sessions
from .tokens import Scope

router = APIRouter(prefix="/session", tags=["session"])


class Session(BaseModel):
    """What the caller may do, and whether that is because everyone may everything."""

    scopes: list[Scope]
    anonymous: bool


@router.get("", dependencies=[PUBLIC])
async def show_session(request: Request, response: Response) -> Session:
    """Tell what the caller may do, be it by token, by session or for want of tokens."""
    response.headers["Cache-Control"] = "no-store"
    try:
        scopes = await scopes_of_request(request)
    except HTTPException:
        scopes = frozenset()
    return Session(scopes=sorted(scopes), anonymous=not request.app.state.settings.api_tokens)


@router.post("", status_code=204, responses={401: GUARDED[401]})
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
