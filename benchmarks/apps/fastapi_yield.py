"""Items of a generator: the JSON Lines of FastAPI, and batches that are written by hand."""

from collections.abc import AsyncIterator, Callable, Sequence

import msgspec  # type: ignore[import-not-found]
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from generated_items import Item, items, items_in_thread  # type: ignore[import-not-found]
from pydantic import TypeAdapter

BATCH = 200
adapter = TypeAdapter(list[Item])

app = FastAPI()
app.get("/items.jsonl")(items)
app.get("/items-in-thread.jsonl")(items_in_thread)


def encode_each(batch: Sequence[Item]) -> bytes:
    """Return lines of the model's own JSON."""
    return "".join([item.model_dump_json() + "\n" for item in batch]).encode()


def encode_all(batch: Sequence[Item]) -> bytes:
    """Return lines of an array's JSON."""
    lines = msgspec.json.decode(adapter.dump_json(list(batch)), type=list[msgspec.Raw])
    return b"\n".join([*lines, b""])


async def batches(limit: int, encode: Callable[[Sequence[Item]], bytes]) -> AsyncIterator[bytes]:
    """Yield the items in chunks."""
    batch = []
    async for item in items(limit):
        batch.append(item)
        if len(batch) == BATCH:
            yield encode(batch)
            batch = []
    yield encode(batch)


@app.get("/each.ndjson")
async def each(limit: int) -> StreamingResponse:
    """Download the items, encoded one by one."""
    return StreamingResponse(batches(limit, encode_each), media_type="application/x-ndjson")


@app.get("/all.ndjson")
async def all_at_once(limit: int) -> StreamingResponse:
    """Download the items, encoded batch by batch."""
    return StreamingResponse(batches(limit, encode_all), media_type="application/x-ndjson")
