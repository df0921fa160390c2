"""The connection of a server behind `receive`, and the time for which it may be silent."""

import socket
from typing import Any

import pytest
from starlette.types import Message

from streaming_api.streaming.response import SERVER_RECEIVE, connection_of, limit_silence


class Server:
    """An object with a transport, whose method is `receive`."""

    def __init__(self) -> None:
        self.transport = self

    async def receive(self) -> Message:
        raise NotImplementedError

    def get_extra_info(self, name: str) -> Any:
        return getattr(self, name, None)


class Protocol:
    """An object without a transport, as of other servers; its `receive` is a method of itself."""

    async def receive(self) -> Message:
        raise NotImplementedError


async def wrapper() -> Message:
    """Receive as middleware does."""
    raise NotImplementedError


def test_connection_of_server_is_the_object_of_receive() -> None:
    server = Server()

    assert connection_of({}, server.receive) is server


def test_connection_behind_middleware_is_that_of_the_server() -> None:
    server = Server()

    assert connection_of({SERVER_RECEIVE: server.receive}, wrapper) is server


def test_connection_of_other_server_is_unknown() -> None:
    assert connection_of({}, wrapper) is None
    assert connection_of({}, Protocol().receive) is None


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="not on this platform")
def test_silence_of_client_is_limited() -> None:
    server: Any = Server()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.socket = listener
        limit_silence(server, 1.5)

        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500


def test_silence_without_limit_is_no_error() -> None:
    server: Any = Server()
    with socket.socket(socket.AF_UNIX) as server.socket:
        for connection, seconds in [(None, 1), (server, 1), (Server(), 1)]:
            limit_silence(connection, seconds)
    with socket.socket() as server.socket:
        limit_silence(server, 1e308)
