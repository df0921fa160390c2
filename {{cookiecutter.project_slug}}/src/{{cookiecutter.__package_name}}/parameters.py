"""Parameters of a query that say one thing."""

from typing import Any

from fastapi import Depends, HTTPException, Request


def once(*names: str) -> Any:
    """Return a dependency that refuses a request which gives one of `names` more than once: 422.

    Whoever takes the first of them and whoever takes the last would read two different requests.
    """

    async def refuse_more(request: Request) -> None:
        for name in names:
            given = len(request.query_params.getlist(name))
            if given > 1:
                raise HTTPException(422, f"query.{name}: given {given} times, once is accepted.")

    return Depends(refuse_more)
