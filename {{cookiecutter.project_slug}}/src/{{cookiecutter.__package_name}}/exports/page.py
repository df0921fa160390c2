"""Which part of a table is exported."""

from typing import Annotated

from fastapi import Depends, Query

LARGEST_KEY = 2**63 - 1


class Page:
    """The part that a client asks for: resuming by key stands in for `Range`."""

    def __init__(
        self,
        after: Annotated[
            int | None, Query(ge=-LARGEST_KEY, le=LARGEST_KEY, description="Resume after this id")
        ] = None,
        limit: Annotated[
            int | None, Query(ge=0, le=LARGEST_KEY, description="Stop after this many rows")
        ] = None,
    ) -> None:
        self.after = after
        self.limit = limit


RequestedPage = Annotated[Page, Depends()]
