"""Reading in batches: their size, their order, and the connection they are read on."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from anyio import CancelScope, fail_after
from sqlalchemy import Column, MetaData, Table, Text, event, select, text

from {{ cookiecutter.__package_name }}.exports import Database
from {{ cookiecutter.__package_name }}.exports.database import Key
from {{ cookiecutter.__package_name }}.exports.rows import (
    CHUNKS_AT_A_TIME,
    INTERRUPT_SECONDS,
    Rows,
)
from {{ cookiecutter.__package_name }}.streaming import Chunk

from .conftest import Content

pytestmark = pytest.mark.anyio

KIB = 1024
ROWS = 3000
READERS = 4
"""More threads than read, or as many."""
PATIENCE = 10.0
#{% if cookiecutter.database == "sqlite" %}
ENDLESS = "(WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)"
#{% else %}
ENDLESS = "pg_sleep(3600) IS NOT NULL"
#{% endif %}
"""A condition that is never decided."""

lines = Table("lines", MetaData(), Column("id", Key, primary_key=True), Column("text", Text))


class Lines:
    """The simplest format there is; it remembers the number of rows in each batch."""

    def __init__(self, header: bytes = b"") -> None:
        self.header = header
        self.batches: list[int] = []

    def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
        self.batches.append(len(rows))
        return b"".join(b"%d %s\n" % (key, text.encode()) for key, text in rows)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def content(database: Database) -> Content:
    content = Content(database)
    with database.connect() as connection, connection.begin():
        lines.create(connection)
    return content


@pytest.fixture
def rows(content: Content) -> Rows:
    """Some rows of 200 bytes."""
    content.replace(lines, [{"id": key, "text": "x" * 200} for key in range(ROWS)])
    return all_lines(content)


def all_lines(content: Content) -> Rows:
    return Rows(content.database, select(lines), lines.c.id).after(None, None)


async def read(chunks: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    async with aclosing(chunks):
        return [chunk async for chunk in chunks]


async def test_every_row_is_in_one_chunk(rows: Rows, content: Content) -> None:
    chunks = await read(rows.chunks(Lines(b"header\n")))

    received = b"".join(chunk.data for chunk in chunks).splitlines()
    assert received[0] == b"header"
    assert [int(line.split()[0]) for line in received[1:]] == list(range(ROWS))
    assert sum(chunk.items for chunk in chunks) == ROWS
    assert content.connections == 0


async def test_chunks_grow_to_tens_of_kibibytes(rows: Rows) -> None:
    chunks = await read(rows.chunks(Lines()))

    assert len(chunks[0].data) < 8 * KIB
    assert all(48 * KIB < len(chunk.data) < 80 * KIB for chunk in chunks[1:-1])


async def test_wide_rows_are_held_one_at_a_time(content: Content) -> None:
    content.replace(lines, [{"id": key, "text": "x" * 100 * KIB} for key in range(30)])
    encoder = Lines()

    await read(all_lines(content).chunks(encoder))

    assert encoder.batches == [10] + [1] * 20


async def test_narrow_rows_are_held_a_thousand_at_a_time(content: Content) -> None:
    content.replace(lines, [{"id": key, "text": ""} for key in range(ROWS)])
    encoder = Lines()

    await read(all_lines(content).chunks(encoder))

    assert max(encoder.batches) == 1000


async def test_no_more_is_read_ahead_than_the_next_few_chunks(rows: Rows, content: Content) -> None:
    content.replace(lines, [{"id": key, "text": "x" * 10 * KIB} for key in range(200)])
    encoder = Lines()

    async with aclosing(rows.chunks(encoder)) as chunks:
        for taken in range(1, 20):
            await anext(chunks)
            await run_in_reader(content.database, lambda: None)
            assert len(encoder.batches) <= taken + 2 * CHUNKS_AT_A_TIME - 1


async def test_rows_come_in_the_order_of_the_key_and_resume_after_it(
    rows: Rows, content: Content
) -> None:
    backwards = Rows(content.database, select(lines), -lines.c.id)

    [chunk] = await read(backwards.after(-7, 3).chunks(Lines()))

    assert [line.split()[0] for line in chunk.data.splitlines()] == [b"6", b"5", b"4"]


@pytest.mark.parametrize("header", [b"", b"header\n"])
async def test_without_rows_there_is_the_header(content: Content, header: bytes) -> None:
    chunks = await read(all_lines(content).chunks(Lines(header)))

    assert b"".join(chunk.data for chunk in chunks) == header
    assert content.connections == 0


async def test_the_connection_is_back_when_the_client_leaves(rows: Rows, content: Content) -> None:
    chunks = rows.chunks(Lines())
    await anext(chunks)
    held = content.connections

    await chunks.aclose()

    assert (held, content.connections) == (1, 0)


async def test_the_connection_is_back_after_a_failure_in_mid_stream(
    rows: Rows, content: Content
) -> None:
    content.fail_at(lines, 2000)
    encoder = Lines()

    with pytest.raises(Exception, match=r"integer overflow|division by zero"):
        await read(rows.chunks(encoder))

    assert 0 < sum(encoder.batches) <= 2000
    assert content.connections == 0


async def test_the_connection_is_back_after_a_failure_at_the_start(
    rows: Rows, content: Content
) -> None:
    content.run("DROP TABLE lines")

    with pytest.raises(Exception, match="lines"):
        await anext(rows.chunks(Lines()))

    assert content.connections == 0


async def test_nothing_is_committed_that_could_fail_after_the_last_chunk(
    rows: Rows, content: Content
) -> None:
    commits: list[Any] = []
    event.listen(content.database.engine, "commit", commits.append)

    await read(rows.chunks(Lines()))

    assert commits == []


async def test_no_connection_is_taken_before_the_first_chunk(rows: Rows, content: Content) -> None:
    chunks = rows.chunks(Lines())

    await chunks.aclose()

    assert content.connections == 0


async def test_the_connection_is_back_when_the_reader_is_cancelled_while_it_waits(
    rows: Rows, content: Content
) -> None:
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


async def test_a_query_ends_with_its_client_however_long_it_takes(
    rows: Rows, content: Content
) -> None:
    endless = rows.statement.where(text(ENDLESS))
    chunks = replace(rows, statement=endless).chunks(Lines())

    with fail_after(PATIENCE), pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(chunks), 0.05)

    assert content.connections == 0


async def test_a_client_may_leave_before_it_is_its_turn(rows: Rows, content: Content) -> None:
    loop, go_on = asyncio.get_running_loop(), Event()
    turns = [loop.run_in_executor(content.database.readers, go_on.wait) for _ in range(READERS)]
    loop.call_later(2 * INTERRUPT_SECONDS, go_on.set)

    with fail_after(PATIENCE), pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(rows.chunks(Lines())), 0.01)

    assert all(await asyncio.gather(*turns))
    assert content.connections == 0


async def test_a_failure_that_comes_after_the_client_left_is_nobodys(
    rows: Rows, content: Content
) -> None:
    content.fail_at(lines, 200)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    chunks = rows.chunks(Lines())
    await anext(chunks)

    await chunks.aclose()
    gc.collect()

    assert reported == []
    assert content.connections == 0


async def test_exports_at_once_run_side_by_side(rows: Rows) -> None:
    exports = 3
    turn = asyncio.Barrier(exports)

    async def read_in_step() -> int:
        received = 0
        async for chunk in rows.chunks(Lines()):
            received += chunk.items
            await turn.wait()
        return received

    with fail_after(PATIENCE):
        received = await asyncio.gather(*(read_in_step() for _ in range(exports)))

    assert received == [ROWS] * exports


async def test_many_exports_run_at_once_and_leave_connections_for_others(
    rows: Rows, content: Content
) -> None:
    exports = [rows.chunks(Lines()) for _ in range(20)]

    for chunks in exports:
        await anext(chunks)
    await asyncio.to_thread(content.database.ping)
    held = content.connections
    for chunks in exports:
        await chunks.aclose()

    assert (held, content.connections) == (20, 0)


async def test_an_export_does_not_see_what_changes_while_it_runs(
    rows: Rows, content: Content
) -> None:
    chunks = rows.chunks(Lines())
    start = await anext(chunks)

    content.replace(lines, [])

    rest = await read(chunks)
    assert start.items + sum(chunk.items for chunk in rest) == ROWS


async def run_in_reader(database: Database, work: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(database.readers, work)
