"""The connection under a response, which ASGI keeps out of sight."""

from typing import Any

from starlette.types import Receive


def abort_connection(receive: Receive) -> bool:
    """Close the connection at once, with whatever was not sent yet; tell whether it could be found.

    ASGI has no message for this, and a server that is told to close waits for a client that takes
    nothing. uvicorn's `receive` is a method of the object that holds the transport, and FastAPI's
    limit on request bodies wraps it in another object of the same shape.
    """
    owner: Any = getattr(receive, "__self__", None)
    while owner is not None:
        transport: Any = getattr(owner, "transport", None)
        if transport is not None:
            transport.abort()
            return True
        owner = getattr(getattr(owner, "receive", None), "__self__", None)
    return False
