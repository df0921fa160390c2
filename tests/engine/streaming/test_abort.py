"""`abort_connection`: the transport of a server behind `receive`."""

from starlette.types import Message

from streaming_api.streaming.response import abort_connection


class Transport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Server:
    """An object with a transport, whose method is `receive`."""

    def __init__(self) -> None:
        self.transport = Transport()

    async def receive(self) -> Message:
        raise NotImplementedError


class Limit:
    """An object that wraps `receive`, as FastAPI's limit on request bodies does."""

    def __init__(self, server: Server) -> None:
        self.receive = server.receive

    async def receive_with_limit(self) -> Message:
        raise NotImplementedError


def test_connection_of_server_is_aborted() -> None:
    server = Server()

    assert abort_connection(server.receive)
    assert server.transport.aborted


def test_connection_of_wrapped_server_is_aborted() -> None:
    server = Server()

    assert abort_connection(Limit(server).receive_with_limit)
    assert server.transport.aborted


def test_unknown_connection_is_not_aborted() -> None:
    async def receive() -> Message:
        raise NotImplementedError

    assert not abort_connection(receive)
