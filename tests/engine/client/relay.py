"""A way to a server that breaks where a test wants it to."""

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat


@contextmanager
def relay(url: str, cuts: Iterable[int]) -> Iterator[str]:
    """Yield a URL that leads to the server at `url`.

    Of the answers on its first connection only the first of `cuts` bytes pass, and so on; when there
    are no more of them, everything passes.
    """
    port = int(url.rpartition(":")[2])
    limits = chain(cuts, repeat(None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, port, limits))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # What waits in accept() returns for a shutdown, and not for a close.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def serve(listener: socket.socket, port: int, limits: Iterator[int | None]) -> None:
    """Relay one connection at a time for each that is accepted, until `listener` is shut down."""
    threads = []
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        thread = threading.Thread(target=connect, args=(client, port, next(limits)))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()


def connect(client: socket.socket, port: int, limit: int | None) -> None:
    """Relay `client` to `port` until one of both leaves, or `limit` bytes are through."""
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        asking = threading.Thread(target=pass_on, args=(client, server))
        asking.start()
        pass_on(server, client, limit)
        asking.join()


def pass_on(source: socket.socket, target: socket.socket, limit: int | None = None) -> None:
    """Pass on bytes until there are no more, or `limit` is reached, and end both connections."""
    with suppress(OSError):
        while limit is None or limit > 0:
            data = source.recv(4096 if limit is None else min(4096, limit))
            if not data:
                break
            target.sendall(data)
            limit = limit and limit - len(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
