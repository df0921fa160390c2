"""Reading in batches: their sizes, their order and their connections."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from threading import Event
from typing import Any

import pytest
from anyio import CancelScope, fail_after
from sqlalchemy import (
    ARRAY,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    event,
    func,
    literal_column,
    select,
    text,
)

from streaming_api.streaming.exports.database import Database
from streaming_api.streaming.exports.rows import CHUNKS_AHEAD, INTERRUPT_SECONDS, Rows
from streaming_api.streaming.registry import Chunk

from ..variant import SQLITE
from .conftest import Content
from .tables import integer_key

pytestmark = pytest.mark.anyio

KIB = 1024
MB = 1_000_000
ROWS = 3000
READERS = 4
"""At least the number of threads that read."""
TIMEOUT = 10.0
if SQLITE:
    ENDLESS = (
        "(WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)"
    )
else:
    ENDLESS = "pg_sleep(3600) IS NOT NULL"
"""A condition that takes forever."""

lines = Table(
    "lines", MetaData(), Column("id", integer_key, primary_key=True), Column("text", Text)
)


widths = Table(
    "widths", MetaData(), Column("id", integer_key, primary_key=True), Column("width", Integer)
)
WIDEN = literal_column(
    "replace(hex(zeroblob(width / 2)), '00', 'xy')" if SQLITE else "repeat('x', width)", Text
)
WIDTHS = {
    "narrow, then wide": [50] * 3000 + [MB] * 100,
    "wide, then narrow": [MB] * 100 + [50] * 3000,
    "one in two": [50, MB] * 100,
    "one in three": [50, 50, MB] * 100,
    "one in 31": ([50] * 30 + [MB]) * 100,
}


class Lines:
    """A simple format, which records the number of rows of each batch."""

    def __init__(self, header: bytes = b"") -> None:
        self.header = header
        self.batches: list[int] = []

    def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
        self.batches.append(len(rows))
        return b"".join(b"%d %s\n" % (key, str(text).encode()) for key, text in rows)


@pytest.fixture
def content(database: Database) -> Content:
    content = Content(database)
    with database.engine.begin() as connection:
        lines.create(connection)
    return content


@pytest.fixture
def rows(content: Content) -> Rows:
    """Rows of 200 bytes."""
    content.replace(lines, [{"id": key, "text": "x" * 200} for key in range(ROWS)])
    return all_lines(content)


def all_lines(content: Content) -> Rows:
    return Rows(content.database, select(lines).order_by(lines.c.id), lines.c)


async def read(chunks: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    async with aclosing(chunks):
        return [chunk async for chunk in chunks]


async def test_each_row_is_in_one_chunk(rows: Rows, content: Content) -> None:
    chunks = await read(rows.chunks(Lines(b"header\n")))

    received = b"".join(chunk.data for chunk in chunks).splitlines()
    assert received[0] == b"header"
    assert [int(line.split()[0]) for line in received[1:]] == list(range(ROWS))
    assert sum(chunk.items for chunk in chunks) == ROWS
    assert content.connections == 0


async def test_chunks_grow_to_tens_of_kibibytes(rows: Rows) -> None:
    chunks = await read(rows.chunks(Lines()))

    assert len(chunks[0].data) < 8 * KIB
    assert all(48 * KIB < len(chunk.data) < 80 * KIB for chunk in chunks[3:-1])


async def test_wide_rows_are_read_one_by_one(content: Content) -> None:
    content.replace(lines, [{"id": key, "text": "x" * 100 * KIB} for key in range(30)])
    encoder = Lines()

    await read(all_lines(content).chunks(encoder))

    assert encoder.batches == [1] * 30


@pytest.mark.parametrize("pattern", WIDTHS)
async def test_memory_is_bounded_whatever_the_rows(database: Database, pattern: str) -> None:
    rows = [{"id": id, "width": width} for id, width in enumerate(WIDTHS[pattern])]
    with database.engine.begin() as connection:
        widths.create(connection)
        connection.execute(widths.insert(), rows)
    columns: dict[str, Any] = {"id": widths.c.id, "text": WIDEN}
    statement = select(widths.c.id, WIDEN).order_by(widths.c.id)
    largest = received = 0

    tracemalloc.start()
    async with aclosing(Rows(database, statement, columns).chunks(Lines())) as chunks:
        async for chunk in chunks:
            largest = max(largest, len(chunk.data))
            received += chunk.items
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert received == len(rows)
    assert largest < 35 * MB
    assert peak < 100 * MB


@pytest.mark.skipif(SQLITE, reason="no arrays")
async def test_long_arrays_are_read_one_by_one(content: Content) -> None:
    encoder = Lines()
    array = func.array_fill(1, [100_000], type_=ARRAY(Integer)).label("array")
    content.replace(lines, [{"id": key} for key in range(20)])
    statement = select(lines.c.id, array).order_by(lines.c.id)

    await read(Rows(content.database, statement, {"id": lines.c.id, "a": array}).chunks(encoder))

    assert encoder.batches == [1] * 20


async def test_narrow_rows_are_read_by_the_thousand(content: Content) -> None:
    content.replace(lines, [{"id": key, "text": ""} for key in range(ROWS)])
    encoder = Lines()

    await read(all_lines(content).chunks(encoder))

    assert max(encoder.batches) == 1000


async def test_few_chunks_are_read_ahead(rows: Rows, content: Content) -> None:
    content.replace(lines, [{"id": key, "text": "x" * 10 * KIB} for key in range(200)])
    encoder = Lines()

    async with aclosing(rows.chunks(encoder)) as chunks:
        for received in range(1, 20):
            await anext(chunks)
            await run_in_reader(content.database, lambda: None)
            assert len(encoder.batches) <= received + 2 * CHUNKS_AHEAD - 1


@pytest.mark.parametrize("header", [b"", b"header\n"])
async def test_header_is_sent_without_rows(content: Content, header: bytes) -> None:
    chunks = await read(all_lines(content).chunks(Lines(header)))

    assert b"".join(chunk.data for chunk in chunks) == header
    assert content.connections == 0


async def test_disconnect_returns_connection(rows: Rows, content: Content) -> None:
    chunks = rows.chunks(Lines())
    await anext(chunks)
    held = content.connections

    await chunks.aclose()

    assert (held, content.connections) == (1, 0)


async def test_later_failure_returns_connection(rows: Rows, content: Content) -> None:
    content.fail_at(lines, 2000)
    encoder = Lines()

    with pytest.raises(Exception, match=r"integer overflow|division by zero"):
        await read(rows.chunks(encoder))

    assert 0 < sum(encoder.batches) <= 2000
    assert content.connections == 0


async def test_failure_before_first_row_returns_connection(rows: Rows, content: Content) -> None:
    content.run("DROP TABLE lines")

    with pytest.raises(Exception, match="lines"):
        await anext(rows.chunks(Lines()))

    assert content.connections == 0


async def test_failure_that_is_no_invalid_text_is_raised(
    rows: Rows, content: Content, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Lines):
        def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
            raise OSError("no space left for the UTF-8 text")

    with pytest.raises(OSError, match="no space left"):
        await read(rows.chunks(Failing()))

    assert content.connections == 0
    assert not caplog.text


async def test_export_commits_nothing(rows: Rows, content: Content) -> None:
    commits: list[Any] = []
    event.listen(content.database.engine, "commit", commits.append)

    await read(rows.chunks(Lines()))

    assert commits == []


async def test_unread_export_takes_no_connection(rows: Rows, content: Content) -> None:
    chunks = rows.chunks(Lines())

    await chunks.aclose()

    assert content.connections == 0


async def test_cancellation_while_encoding_returns_connection(rows: Rows, content: Content) -> None:
    encoding, go_on = Event(), Event()

    class Slow(Lines):
        def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
            encoding.set()
            go_on.wait()
            return super().encode(rows)

    async def read_in_scope() -> None:
        with scope:
            await read(rows.chunks(Slow()))

    scope = CancelScope()
    task = asyncio.create_task(read_in_scope())
    await asyncio.to_thread(encoding.wait)
    held = content.connections

    scope.cancel()
    asyncio.get_running_loop().call_later(0.01, go_on.set)
    await task

    assert (held, content.connections) == (1, 0)


async def test_cancellation_interrupts_the_query(rows: Rows, content: Content) -> None:
    endless = select(lines).where(text(ENDLESS))
    chunks = Rows(content.database, endless, lines.c).chunks(Lines())

    with fail_after(TIMEOUT), pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(chunks), 0.05)

    assert content.connections == 0


async def test_query_is_not_interrupted_after_its_end(
    rows: Rows, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = content.database
    calls: list[str] = []
    monkeypatch.setattr(database, "interrupt", lambda _: calls.append("interrupt"))
    event.listen(database.engine, "checkin", lambda *_: calls.append("return"))
    chunks = rows.chunks(Lines())
    await anext(chunks)

    await chunks.aclose()

    assert calls[-1] == "return"
    assert calls.count("return") == 1


async def test_cancellation_before_a_free_reader_returns(rows: Rows, content: Content) -> None:
    loop, go_on = asyncio.get_running_loop(), Event()
    occupied = [loop.run_in_executor(content.database.readers, go_on.wait) for _ in range(READERS)]
    loop.call_later(2 * INTERRUPT_SECONDS, go_on.set)

    with fail_after(TIMEOUT), pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(rows.chunks(Lines())), 0.01)

    assert all(await asyncio.gather(*occupied))
    assert content.connections == 0


async def test_failure_after_disconnect_is_not_reported(rows: Rows, content: Content) -> None:
    content.fail_at(lines, 200)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    chunks = rows.chunks(Lines())
    await anext(chunks)

    await chunks.aclose()
    gc.collect()

    assert reported == []
    assert content.connections == 0


@pytest.mark.usefixtures("rows")
async def test_concurrent_exports_advance_together(content: Content) -> None:
    exports = 3
    turn = asyncio.Barrier(exports)

    async def read_in_step() -> int:
        received = 0
        async for chunk in all_lines(content).chunks(Lines()):
            received += chunk.items
            await turn.wait()
        return received

    with fail_after(TIMEOUT):
        received = await asyncio.gather(*(read_in_step() for _ in range(exports)))

    assert received == [ROWS] * exports


@pytest.mark.usefixtures("rows")
async def test_many_exports_leave_connections_for_others(content: Content) -> None:
    exports = [all_lines(content).chunks(Lines()) for _ in range(20)]

    for chunks in exports:
        await anext(chunks)
    await asyncio.to_thread(content.database.ping)
    held = content.connections
    for chunks in exports:
        await chunks.aclose()

    assert (held, content.connections) == (20, 0)


async def test_export_does_not_see_later_changes(rows: Rows, content: Content) -> None:
    chunks = rows.chunks(Lines())
    start = await anext(chunks)

    content.replace(lines, [])

    rest = await read(chunks)
    assert start.items + sum(chunk.items for chunk in rest) == ROWS


async def run_in_reader(database: Database, work: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(database.readers, work)
