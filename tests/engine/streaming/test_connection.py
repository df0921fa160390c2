"""The connection under a response."""

from starlette.types import Message

from {{ cookiecutter.__package_name }}.streaming.connection import abort_connection


class Transport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Server:
    """Holds the transport, and receives for the application."""

    def __init__(self) -> None:
        self.transport = Transport()

    async def receive(self) -> Message:
        raise NotImplementedError


class Limit:
    """Stands between the server and the application."""

    def __init__(self, server: Server) -> None:
        self.receive = server.receive

    async def receive_with_limit(self) -> Message:
        raise NotImplementedError


def test_the_connection_of_a_server_is_aborted() -> None:
    server = Server()

    assert abort_connection(server.receive)
    assert server.transport.aborted


def test_the_connection_is_found_through_what_wraps_the_server() -> None:
    server = Server()

    assert abort_connection(Limit(server).receive_with_limit)
    assert server.transport.aborted


def test_a_connection_that_is_out_of_sight_is_reported() -> None:
    async def receive() -> Message:
        raise NotImplementedError

    assert not abort_connection(receive)
