"""`encoded`: a generator runs by itself, and its items are sent in batches."""

import asyncio
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from contextvars import ContextVar
from time import monotonic
from typing import Any

import anyio
import pytest

from streaming_api.streaming import Chunk, generators
from streaming_api.streaming.generators import Items, encoded

pytestmark = pytest.mark.anyio

marker: ContextVar[str] = ContextVar("marker", default="-")


def encode(items: Sequence[Any]) -> bytes:
    """Encode numbers as lines; reject anything else."""
    return b"".join(b"%d\n" % item for item in items) if items else b"idle\n"


async def count(number: int) -> AsyncGenerator[int, None]:
    for n in range(number):
        yield n


def count_in_thread(number: int) -> Generator[int, None, None]:
    yield from range(number)


async def collect(items: Items, chunks: list[Chunk]) -> None:
    """Add all chunks to a list; other tasks run in between."""
    async for chunk in encoded(items, encode):
        chunks.append(chunk)
        await asyncio.sleep(0)


async def chunks_of(items: Items) -> list[Chunk]:
    """Return all chunks."""
    chunks: list[Chunk] = []
    await collect(items, chunks)
    return chunks


def text_of(chunks: Sequence[Chunk]) -> str:
    return b"".join(chunk.data for chunk in chunks).decode()


@pytest.mark.parametrize("generator", [count, count_in_thread])
async def test_items_arrive_complete_and_in_order(generator: Callable[[int], Items]) -> None:
    chunks = await chunks_of(generator(10_000))

    assert text_of(chunks).split() == [str(n) for n in range(10_000)]
    assert sum(chunk.items for chunk in chunks) == 10_000
    assert all(chunk.items == len(chunk.data.split()) for chunk in chunks)


@pytest.fixture
def idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a full batch makes a generator wait."""
    monkeypatch.setattr(generators, "FLUSH_SECONDS", 60)


@pytest.mark.usefixtures("idle_machine")
async def test_generator_that_never_waits_is_sent_in_batches() -> None:
    chunks = await chunks_of(count(1000))

    sizes = [chunk.items for chunk in chunks]
    assert sizes[0] == generators.FIRST_BATCH
    assert set(sizes[1:-1]) == {generators.MAX_BATCH}


@pytest.mark.usefixtures("idle_machine")
async def test_long_items_are_sent_in_small_batches() -> None:
    def encode(items: Sequence[Any]) -> bytes:
        return b"x" * 20_000 * len(items)

    sizes = [chunk.items async for chunk in encoded(count(100), encode)]

    assert sizes[0] == generators.FIRST_BATCH
    assert max(sizes[1:]) == 3


@pytest.mark.parametrize("in_thread", [False, True])
async def test_slow_item_is_sent_at_once(in_thread: bool) -> None:
    sent = threading.Event()

    def slow_in_thread() -> Generator[int, None, None]:
        yield 0
        assert sent.wait(10)
        yield 1

    async def slow() -> AsyncGenerator[int, None]:
        yield 0
        assert await asyncio.to_thread(sent.wait, 10)
        yield 1

    chunks = []
    async for chunk in encoded(slow_in_thread() if in_thread else slow(), encode):
        chunks.append(chunk)
        sent.set()

    assert chunks == [Chunk(b"0\n", 1), Chunk(b"1\n", 1)]


async def test_items_of_busy_machine_arrive_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "FLUSH_SECONDS", -1)

    async with asyncio.timeout(10):
        chunks = await chunks_of(count(100))

    assert text_of(chunks).split() == [str(n) for n in range(100)]


async def test_items_taken_before_they_are_reported_arrive_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Waiting(deque[int]):
        """Lets the thread add the second item while the first is taken."""

        def popleft(self) -> int:
            item = super().popleft()
            if item == 0:
                continues.set()
                while not self:
                    pass
            return item

    def items() -> Generator[int, None, None]:
        yield 0
        assert continues.wait(10)
        yield 1
        assert sent.wait(10)
        yield 2

    monkeypatch.setattr(generators, "deque", Waiting)
    continues, sent = threading.Event(), threading.Event()
    chunks = []
    async for chunk in encoded(items(), encode):
        chunks.append(chunk)
        asyncio.get_running_loop().call_later(0.02, sent.set)

    assert chunks == [Chunk(b"0\n1\n", 2), Chunk(b"2\n", 1)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 has no eager tasks")
async def test_generator_runs_in_eager_task() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    try:
        chunks = await chunks_of(count(1))
    finally:
        loop.set_task_factory(None)

    assert chunks == [Chunk(b"0\n", 1)]


async def test_busy_generator_is_interrupted() -> None:
    async def busy() -> AsyncGenerator[int, None]:
        for n in range(4):
            end = monotonic() + generators.FLUSH_SECONDS
            while monotonic() <= end:
                pass
            yield n

    assert [chunk.items for chunk in await chunks_of(busy())] == [1, 1, 1, 1]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_generator_waits_while_its_items_are_not_taken(in_thread: bool) -> None:
    produced: list[int] = []

    def endless_in_thread() -> Generator[int, None, None]:
        for n in range(1_000_000):
            produced.append(n)
            yield n

    async def endless() -> AsyncGenerator[int, None]:
        for n in endless_in_thread():
            yield n

    async with aclosing(encoded(endless_in_thread() if in_thread else endless(), encode)) as chunks:
        first = await anext(chunks)
        before = -1
        while before < len(produced):
            before = len(produced)
            await asyncio.sleep(0.02)

        assert len(produced) <= first.items + generators.MAX_BATCH


@pytest.mark.parametrize("generator", [count, count_in_thread])
async def test_generator_without_items_is_encoded_once(generator: Callable[[int], Items]) -> None:
    assert await chunks_of(generator(0)) == [Chunk(b"idle\n", 0)]


async def test_idle_generator_has_heartbeats() -> None:
    async def idle() -> AsyncGenerator[int, None]:
        for n in range(2):
            await beating.wait()
            yield n

    beating = asyncio.Event()
    chunks = []
    async for chunk in encoded(idle(), encode, 0.001):
        chunks.append(chunk)
        if len(chunks) == 3:
            beating.set()

    assert text_of(chunks[:3]) == "idle\n" * 3
    assert text_of(chunks).replace("idle\n", "") == "0\n1\n"


async def test_first_heartbeat_alone_is_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    async def idle() -> AsyncGenerator[int, None]:
        await beating.wait()
        yield 1

    monkeypatch.setattr(generators, "START_SECONDS", 0.001)
    beating = asyncio.Event()
    chunks = []
    async with asyncio.timeout(10):
        async for chunk in encoded(idle(), encode, 60):
            chunks.append(chunk)
            asyncio.get_running_loop().call_later(0.02, beating.set)

    assert text_of(chunks) == "idle\n1\n"


async def fail(number: int) -> AsyncGenerator[Any, None]:
    for n in range(number):
        yield n
    raise OSError("the disk is gone")


def fail_in_thread(number: int) -> Generator[Any, None, None]:
    yield from range(number)
    raise OSError("the disk is gone")


@pytest.mark.parametrize("generator", [fail, fail_in_thread])
@pytest.mark.parametrize("number", [0, 1, 100])
async def test_failure_follows_all_items(generator: Callable[[int], Items], number: int) -> None:
    chunks: list[Chunk] = []

    with pytest.raises(OSError, match="the disk is gone"):
        await collect(generator(number), chunks)

    assert text_of(chunks).split() == [str(n) for n in range(number)]


@pytest.mark.parametrize("position", [0, 1, 5, 50])
async def test_items_before_an_invalid_one_are_sent(position: int) -> None:
    async def items() -> AsyncGenerator[Any, None]:
        for n in range(100):
            yield "invalid" if n == position else n

    chunks: list[Chunk] = []

    with pytest.raises(TypeError):
        await collect(items(), chunks)

    assert text_of(chunks).split() == [str(n) for n in range(position)]


async def test_expired_timeout_is_raised_at_the_yield() -> None:
    seen: list[object] = []

    async def items() -> AsyncGenerator[Any, None]:
        try:
            async with asyncio.timeout(0.01):
                for n in range(1000):
                    yield n
        except TimeoutError as error:
            seen.append(error)
        yield 1000

    async with asyncio.timeout(10):
        chunks = encoded(items(), encode)
        first = await anext(chunks)
        while not seen:
            await asyncio.sleep(0)
        rest = [chunk async for chunk in chunks]

    # The item that waited at the time is sent, too.
    numbers = text_of([first, *rest]).split()
    assert numbers == [*map(str, range(len(numbers) - 1)), "1000"]
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_expired_scope_of_anyio_is_left_at_the_yield() -> None:
    left = asyncio.Event()

    async def items() -> AsyncGenerator[Any, None]:
        with anyio.move_on_after(0.01) as scope:
            for n in range(1000):
                yield n
        assert scope.cancelled_caught
        left.set()
        yield 1000

    async with asyncio.timeout(10):
        chunks = encoded(items(), encode)
        first = await anext(chunks)
        await left.wait()
        rest = [chunk async for chunk in chunks]

    assert text_of([first, *rest]).split()[-1] == "1000"


async def test_failed_task_of_a_group_is_raised_at_the_yield() -> None:
    failing = asyncio.Event()

    async def fail() -> None:
        await failing.wait()
        raise OSError("a task failed")

    async def items() -> AsyncGenerator[Any, None]:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
                for n in range(1000):
                    yield n
        except* OSError:
            failed.set()
        yield 1000

    failed = asyncio.Event()
    async with asyncio.timeout(10):
        chunks = encoded(items(), encode)
        first = await anext(chunks)
        failing.set()
        await failed.wait()
        rest = [chunk async for chunk in chunks]

    assert text_of([first, *rest]).split()[-1] == "1000"


async def test_generator_that_is_cancelled_by_itself_has_failed() -> None:
    async def items() -> AsyncGenerator[Any, None]:
        yield 1
        other = asyncio.create_task(asyncio.Event().wait())
        other.cancel()
        await other

    with pytest.raises(RuntimeError, match="CancelledError"):
        await chunks_of(items())


@pytest.mark.parametrize("exit", [SystemExit(3), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("is_async", [True, False])
async def test_generator_that_exits_has_failed(exit: BaseException, is_async: bool) -> None:
    def in_thread() -> Generator[Any, None, None]:
        yield 1
        raise exit

    async def in_task() -> AsyncGenerator[Any, None]:
        yield 1
        raise exit

    with pytest.raises(RuntimeError, match=type(exit).__name__):
        await chunks_of(in_task() if is_async else in_thread())


class Source:
    """A generator that records where it started and ended."""

    def __init__(self, *, waits: bool) -> None:
        self.waits = waits
        self.started_in: object = None
        self.ended_in: object = None
        self.markers: list[str] = []

    async def items(self) -> AsyncGenerator[Any, None]:
        """Yield items, then wait or not; the cleanup waits, too."""
        self.started_in = asyncio.current_task()
        self.markers.append(marker.get())
        marker.set("of the generator")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.Event().wait())
                for n in range(1_000_000):
                    yield n
                    if self.waits:
                        await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            self.ended_in = asyncio.current_task()
            self.markers.append(marker.get())

    def items_in_thread(self) -> Generator[Any, None, None]:
        """Do the same in a thread: objects of `sqlite3` belong to the thread that created them."""
        self.started_in = threading.current_thread()
        self.markers.append(marker.get())
        marker.set("of the generator")
        connection = sqlite3.connect(":memory:")
        try:
            for n in range(1_000_000):
                yield from connection.execute("SELECT ?", (n,)).fetchone()
        finally:
            connection.close()
            self.ended_in = threading.current_thread()
            self.markers.append(marker.get())


@pytest.mark.parametrize("waits", [False, True])
async def test_generator_is_closed_in_its_own_task(waits: bool) -> None:
    source = Source(waits=waits)
    marker.set("of the request")

    async with asyncio.timeout(10), aclosing(encoded(source.items(), encode)) as chunks:
        await anext(chunks)
        await asyncio.sleep(0.001)

    assert source.ended_in is source.started_in is not None
    assert source.ended_in is not asyncio.current_task()
    assert source.markers == ["of the request", "of the generator"]
    assert marker.get() == "of the request"


@pytest.mark.parametrize("open_group", [anyio.create_task_group, asyncio.TaskGroup])
async def test_generator_that_yields_in_task_group_is_closed(
    open_group: Callable[[], AbstractAsyncContextManager[Any]],
) -> None:
    ended: list[str] = []

    async def items() -> AsyncGenerator[Any, None]:
        try:
            async with open_group():
                for n in range(10**9):
                    yield n
        finally:
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(0)
            ended.append("cleaned up")

    async with asyncio.timeout(10), aclosing(encoded(items(), encode)) as chunks:
        await anext(chunks)
        await asyncio.sleep(0.001)

    assert ended == ["cleaned up"]


async def test_generator_is_closed_in_its_own_thread() -> None:
    source = Source(waits=False)
    marker.set("of the request")

    async with aclosing(encoded(source.items_in_thread(), encode)) as chunks:
        await anext(chunks)
        await anext(chunks)

    assert source.ended_in is source.started_in is not None
    assert source.ended_in is not threading.main_thread()
    assert source.markers == ["of the request", "of the generator"]


async def test_generator_in_thread_is_closed_at_its_next_item() -> None:
    continues = threading.Event()
    closed = threading.Event()

    def items() -> Generator[Any, None, None]:
        try:
            yield 1
            continues.wait(10)
            yield 2
        finally:
            closed.set()

    chunks = encoded(items(), encode)
    await anext(chunks)
    closing = asyncio.create_task(chunks.aclose())
    await asyncio.sleep(0)
    assert not closed.is_set()
    continues.set()
    await closing

    assert closed.is_set()


async def test_cleanup_of_a_normal_end_completes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "CLEANUP_SECONDS", 10)
    cleaning, may_end, cleaned = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def generate() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            cleaning.set()
            await may_end.wait()
            cleaned.set()

    running = generators.RunningGenerator(generate())
    assert await running.take(None) == [1]
    await cleaning.wait()
    closing = asyncio.create_task(running.close())
    for _ in range(5):  # of the event loop, in which a cancellation would arrive
        await asyncio.sleep(0)
    may_end.set()
    await closing

    assert cleaned.is_set()


async def test_cleanup_is_shielded_from_cancellation() -> None:
    source = Source(waits=True)

    async def read() -> None:
        async for _ in encoded(source.items(), encode):
            scope.cancel()

    with anyio.CancelScope() as scope:
        await read()

    assert scope.cancelled_caught
    assert source.ended_in is source.started_in is not None


async def test_generator_that_suppresses_cancellation_is_closed() -> None:
    closed = False

    async def items() -> AsyncGenerator[Any, None]:
        nonlocal closed
        try:
            while True:
                yield 1
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
        finally:
            closed = True

    async with asyncio.timeout(10), aclosing(encoded(items(), encode)) as chunks:
        await anext(chunks)

    assert closed


async def test_failure_of_cleanup_is_raised() -> None:
    async def items() -> AsyncGenerator[Any, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            raise OSError("already closed")

    chunks = encoded(items(), encode)
    await anext(chunks)

    with pytest.raises(OSError, match="already closed"):
        await chunks.aclose()


async def test_generator_whose_event_loop_has_ended_is_left_alone() -> None:
    ended = threading.Event()
    continues = threading.Event()

    def items() -> Generator[Any, None, None]:
        try:
            continues.wait(10)
            yield 1
        finally:
            ended.set()

    def run() -> None:
        """Run an event loop that is stopped while the generator runs."""
        loop = asyncio.new_event_loop()
        loop.run_until_complete(start(loop))
        loop.close()

    async def start(loop: asyncio.AbstractEventLoop) -> None:
        running.append(generators.RunningGenerator(items()))

    running: list[generators.RunningGenerator] = []
    await asyncio.to_thread(run)
    continues.set()

    assert await asyncio.to_thread(ended.wait, 10)
