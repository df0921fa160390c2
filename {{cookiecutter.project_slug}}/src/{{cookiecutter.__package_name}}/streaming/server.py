"""uvicorn's protocol for HTTP/1.1, with limits on the heads of requests."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Maximum size of a request line and its headers, in addition to two reads from the socket."""
HEAD_SECONDS = 10.0
"""Maximum time from the start of a connection or a request to the end of the headers."""


class HTTPProtocol(HttpToolsProtocol):
    """Closes connections that send no request, or whose headers are too large or too slow."""

    _head_bytes = 0
    _head_timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head_timeout = self.loop.call_later(HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        if self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The headers are too large.")
            return
        self._head_bytes += len(data)
        if not self._head_timeout and (self.cycle is None or self.cycle.response_complete):
            self._head_timeout = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        super().data_received(data)

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        if self._head_timeout:
            self._head_timeout.cancel()
            self._head_timeout = None
        super().on_headers_complete()
