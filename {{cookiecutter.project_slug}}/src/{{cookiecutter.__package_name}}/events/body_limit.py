"""How large the body of a publish may be."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from starlette.types import Message

from ..access import GuardedRoute


class LimitedRoute(GuardedRoute):
    """Answers 413 to a body of more than `max_event_bytes`, as soon as it has read that much.

    The limit that FastAPI has answers in plain text, and outside of the middleware.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, whose request stops at the limit."""
        handle = super().get_route_handler()

        async def handle_limited(request: Request) -> Response:
            limit: int = request.app.state.settings.max_event_bytes
            received = 0

            async def receive() -> Message:
                nonlocal received
                message = await request.receive()
                received += len(message.get("body", b""))
                if received > limit:
                    raise HTTPException(413, f"The body has more than {limit} bytes.")
                return message

            return await handle(Request(request.scope, receive))

        return handle_limited
