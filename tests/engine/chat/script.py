"""A model that answers as a test says."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

TIMEOUT = 20
"""Seconds after which a test that waits in vain fails."""


class Script:
    """The parts of an answer, what follows them, and what the model was asked."""

    def __init__(self) -> None:
        self.parts: list[Any] = ["Hello", " big", " world"]
        self.failure: Exception | None = None
        self.waits = False
        """Whether the next answers wait after their parts."""
        self.may_go_on = threading.Event()
        """Ends the waiting."""
        self.messages: list[Any] = []
        self.options: Any = None
        self.calls = 0
        self.waiting = threading.Event()
        self.closed = threading.Event()

    async def answer(
        self, messages: list[Any], options: dict[str, Any], settings: object
    ) -> AsyncIterator[Any]:
        """Yield the parts."""
        self.messages, self.options = messages, options
        self.calls += 1
        waits = self.waits
        try:
            for part in self.parts:
                yield part
                # As a model does, so that each part is published by itself.
                await asyncio.sleep(0.001)
            self.waiting.set()
            while waits and not self.may_go_on.is_set():
                await asyncio.sleep(0.005)
            if self.failure:
                raise self.failure
        finally:
            await asyncio.sleep(0)
            self.closed.set()
