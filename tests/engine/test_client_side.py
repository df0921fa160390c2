"""What the test client, which is httpx2, makes of a stream: an example to copy from."""

from collections.abc import AsyncGenerator

import httpx2
import pytest
from fastapi import FastAPI

from {{ cookiecutter.__package_name }}.streaming import Chunk, StreamResponse

BODY = b"one\ntwo\n"


class FileResponse(StreamResponse):
    media_type = "text/plain"


async def chunks() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\nt", 1)
    yield Chunk(b"wo\n", 1)


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """An application with a stream of its own."""

    @app.get("/stream")
    async def stream() -> FileResponse:
        return FileResponse(chunks())

    return app


def test_a_stream_is_read_line_by_line(idle_client: httpx2.Client) -> None:
    with idle_client.stream("GET", "/stream") as response:
        assert list(response.iter_lines()) == ["one", "two"]


def test_a_stream_is_read_as_text(idle_client: httpx2.Client) -> None:
    with idle_client.stream("GET", "/stream") as response:
        assert "".join(response.iter_text()) == BODY.decode()


def test_a_stream_is_read_as_bytes(idle_client: httpx2.Client) -> None:
    with idle_client.stream("GET", "/stream") as response:
        assert b"".join(response.iter_bytes()) == BODY


def test_a_stream_that_was_not_read_has_no_content(idle_client: httpx2.Client) -> None:
    with idle_client.stream("GET", "/stream") as response:
        with pytest.raises(httpx2.ResponseNotRead):
            _ = response.content
        assert response.read() == response.content == BODY
