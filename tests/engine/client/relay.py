"""A connection to a server that breaks after a number of bytes."""

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat


@contextmanager
def relay(url: str, cuts: Iterable[int]) -> Iterator[str]:
    """Yield a URL that leads to the server at `url`.

    The first connection breaks after the first of `cuts` bytes of responses, the second after the
    second, and so on; later ones do not break.
    """
    port = int(url.rpartition(":")[2])
    limits = chain(cuts, repeat(None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, port, limits))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # A waiting accept() returns after a shutdown, not after a close.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def serve(listener: socket.socket, port: int, limits: Iterator[int | None]) -> None:
    """Relay each accepted connection in a thread, until `listener` is shut down."""
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
    """Relay `client` to `port` until one side closes, or `limit` bytes are sent to `client`."""
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        requests = threading.Thread(target=copy, args=(client, server))
        requests.start()
        copy(server, client, limit)
        requests.join()


def copy(source: socket.socket, target: socket.socket, limit: int | None = None) -> None:
    """Copy bytes until the end, or up to `limit`, and shut both connections down."""
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
