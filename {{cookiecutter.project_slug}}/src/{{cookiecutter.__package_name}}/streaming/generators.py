"""Generators of path operations: they run by themselves, and their items are sent in batches."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import closing, suppress
from contextvars import copy_context
from time import monotonic
from typing import Any

from anyio import CancelScope
from fastapi.encoders import jsonable_encoder
from pydantic import TypeAdapter

from .registry import CHUNK_BYTES, Chunk

Items = AsyncGenerator[Any, None] | Generator[Any, None, None]

FIRST_BATCH = 10
MAX_BATCH = 200
"""Twice as many objects would cost more in garbage collection than larger chunks save."""
FLUSH_SECONDS = 0.02
"""Time after which the items of a generator that never waits are sent."""
CLEANUP_SECONDS = 0.1
"""Time that a generator has before its cancellation: it may be in the cleanup of a normal end."""
START_SECONDS = 0.5
"""Time after which a stream with heartbeats starts without an item."""


class ItemFormat(ABC):
    """A format of streams whose items have the type `annotation`.

    Items are validated and serialized as FastAPI does it; `options` are those of `dump_json`.
    """

    def __init__(self, annotation: Any, **options: Any) -> None:
        self.documented = annotation
        """The type whose JSON schema is that of an item on the wire."""
        self.adapter: TypeAdapter[list[Any]] = TypeAdapter(list[annotation])
        for name in {"include", "exclude"} & options.keys():
            options[name] = options[name] and {"__all__": options[name]}
        self.options = {"by_alias": True, **options, "fallback": jsonable_encoder}

    @abstractmethod
    def chunks(self, items: Items, settings: Any) -> AsyncGenerator[Chunk, None]:
        """Return the chunks of a stream of `items`."""

    def validate(self, items: Sequence[Any]) -> list[Any]:
        """Return valid items. Raises `ValidationError`."""
        return self.adapter.validate_python(items, from_attributes=True)

    def json(self, items: list[Any]) -> bytes:
        """Return valid items as a JSON array on one line."""
        return escape_line_separators(self.adapter.dump_json(items, **self.options))


def escape_line_separators(text: bytes) -> bytes:
    """Return the JSON `text` with U+0085, U+2028 and U+2029 escaped.

    JSON may contain them (RFC 8259, section 7), but `str.splitlines` splits lines at them.
    """
    if not text.isascii():
        for character in ("\x85", "\u2028", "\u2029"):
            text = text.replace(character.encode(), b"\\u%04x" % ord(character))
    return text


class RunningGenerator:
    """A generator with a producer that pauses while `limit` items are buffered.

    An asynchronous generator runs in one dedicated task, so it can yield within a timeout or a task
    group: these cancel the task, which raises the cancellation at the `yield` (PEP 789). A synchronous
    generator runs in one dedicated thread, since its objects may be bound to a thread.
    """

    def __init__(self, generator: Items) -> None:
        self.limit = FIRST_BATCH
        self._waiting: deque[Any] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._cancelling: asyncio.TimerHandle | None = None
        self._end: asyncio.Future[None]
        self._taken: asyncio.Event | threading.Event
        self._loop = asyncio.get_running_loop()
        if isinstance(generator, AsyncGenerator):
            self._taken = asyncio.Event()
            self._end = self._loop.create_task(self._run_in_task(generator, self._taken))
        else:
            self._taken = threading.Event()
            self._end = self._loop.create_future()
            arguments = (self._run_in_thread, generator, self._taken)
            threading.Thread(target=copy_context().run, args=arguments, daemon=True).start()
        self._end.add_done_callback(lambda _: self._arrived.set())

    async def take(self, seconds: float | None) -> list[Any] | None:
        """Return the items that wait, none after `seconds` without one, or `None` at the end.

        Raises the exception of the generator.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # A thread may report items that have been taken already.
                while not (self._waiting or self._end.done()):
                    self._arrived.clear()
                    await self._arrived.wait()
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        if self._end.done():
            return taken or self._end.result()
        self._taken.set()
        return taken

    def stop(self) -> None:
        """Cancel the generator, once: its cleanup is not cancelled.

        This is at its next `yield`, or where it waits after `CLEANUP_SECONDS`.
        """
        if isinstance(self._end, asyncio.Task) and not self._closing:
            self._cancelling = self._loop.call_later(CLEANUP_SECONDS, self._cancel)
        self._closing = True
        self.limit = 0
        self._taken.set()

    async def close(self) -> None:
        """Close the generator where it runs. Raises its exception."""
        self.stop()
        await asyncio.wait([self._end])
        if not self._end.cancelled():
            self._end.result()

    def _add(self, item: Any) -> None:
        self._waiting.append(item)
        self._arrived.set()

    async def _run_in_task(
        self, generator: AsyncGenerator[Any, None], taken: asyncio.Event
    ) -> None:
        deadline = monotonic() + FLUSH_SECONDS
        try:
            with suppress(StopAsyncIteration):
                async for item in generator:
                    self._add(item)
                    while len(self._waiting) >= self.limit or (
                        self._waiting and monotonic() > deadline
                    ):
                        await self._until_taken(generator, taken)
                        deadline = monotonic() + FLUSH_SECONDS
        except (asyncio.CancelledError, GeneratorExit, SystemExit) as end:
            if self._closing and isinstance(end, asyncio.CancelledError):
                raise
            raise RuntimeError(f"The generator raised {end!r}, and not for its stream.") from None
        finally:
            if self._cancelling:
                self._cancelling.cancel()
            await generator.aclose()

    def _cancel(self) -> None:
        self._cancelling = None
        self._end.cancel()

    async def _until_taken(
        self, generator: AsyncGenerator[Any, None], taken: asyncio.Event
    ) -> None:
        """Wait until items are taken. A cancellation in between is raised at the `yield`."""
        if self._cancelling:
            self._cancelling.cancel()
            self._cancel()
        elif self._closing:
            raise asyncio.CancelledError
        taken.clear()
        try:
            # With room left it suffices that other tasks run.
            await (taken.wait() if len(self._waiting) >= self.limit else asyncio.sleep(0))
        except asyncio.CancelledError as cancelled:
            self._add(await generator.athrow(cancelled))

    def _run_in_thread(self, generator: Generator[Any, None, None], taken: threading.Event) -> None:
        try:
            with closing(generator):
                for item in generator:
                    self._waiting.append(item)
                    if len(self._waiting) == 1:
                        self._call(self._arrived.set)
                    taken.clear()
                    if len(self._waiting) >= self.limit and not self._closing:
                        taken.wait()
                    if self._closing:
                        break
        except BaseException as error:
            failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
            self._call(self._end.set_exception, failure)
        else:
            self._call(self._end.set_result, None)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call `function` on the event loop, unless the process is at its end."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


async def encoded(
    items: Items, encode: Callable[[Sequence[Any]], bytes], heartbeat: float | None = None
) -> AsyncGenerator[Chunk, None]:
    """Yield `items` in chunks of up to some 64 KiB, without waiting for more.

    With `heartbeat` there is a chunk without items after so many seconds without an item. Without
    items `encode` returns what a stream sends in place of them.
    """
    running = RunningGenerator(items)
    seconds = heartbeat and min(heartbeat, START_SECONDS)
    is_empty = True
    try:
        while (taken := await running.take(seconds)) is not None:
            seconds = heartbeat
            is_empty = False
            batches = [taken]
            for batch in batches:
                try:
                    data = encode(batch)
                except Exception:
                    if len(batch) == 1:
                        raise
                    # What precedes an invalid item is sent.
                    batches += [[item] for item in batch]
                else:
                    running.limit = max(1, min(MAX_BATCH, len(batch) * CHUNK_BYTES // len(data)))
                    yield Chunk(data, len(batch))
        if is_empty:
            yield Chunk(encode([]), 0)
    finally:
        with CancelScope(shield=True):
            await running.close()
