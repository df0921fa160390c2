"""Speed and ratio of compression of the chunks of an export, each of which is flushed."""

import subprocess
import time
import zlib
from collections.abc import Callable
from functools import partial

import brotli
import zstandard

from .environment import SQLITE, Scale, require, sqlite_database
from .exports import WARM_UP_ROWS, get, over_http
from .servers import Server, ours
from .tables import Table

PLAIN = "not compressed"
CHUNK = 64 * 1024
CHUNKS = 256

Compress = Callable[[bytes], bytes]
"""Compresses and flushes one chunk of a stream."""


def gzip(level: int) -> Compress:
    """Return a gzip stream."""
    stream = zlib.compressobj(level, wbits=31)
    return lambda chunk: stream.compress(chunk) + stream.flush(zlib.Z_SYNC_FLUSH)


def zstd(level: int) -> Compress:
    """Return a Zstandard stream."""
    stream = zstandard.ZstdCompressor(level).compressobj()
    flush = partial(stream.flush, zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return lambda chunk: stream.compress(chunk) + flush()


def brotli_stream(level: int) -> Compress:
    """Return a Brotli stream."""
    stream = brotli.Compressor(quality=level)
    return lambda chunk: bytes(stream.process(chunk) + stream.flush())


METHODS: dict[str, Callable[[], Compress]] = {
    **{f"gzip {level}": partial(gzip, level) for level in (1, 4, 9)},
    **{f"zstd {level}": partial(zstd, level) for level in (1, 4, 9)},
    **{f"brotli {level}": partial(brotli_stream, level) for level in (1, 4)},
}


def run(scale: Scale) -> list[Table]:
    """Measure the methods alone, and exports that are compressed."""
    methods = Table("Compression of chunks of 64 KiB, each flushed, on one core")
    export = Table("Items as NDJSON over HTTP, compressed", reference=PLAIN)
    with ours(SQLITE, f"sqlite:///{sqlite_database(scale.rows)}") as server:
        chunks = sample(server)
        get(f"{server.url}/export/items.ndjson?limit={WARM_UP_ROWS}")
        for _ in range(scale.rounds):
            for name, method in METHODS.items():
                methods.add(name, speed(method(), chunks))
            for name in (PLAIN, "zstd", "gzip"):
                header = ("--header", f"Accept-Encoding: {name}") if name != PLAIN else ()
                export.add(name, over_http(server, "/export/items.ndjson", scale.rows, *header))
    return [methods, export]


def sample(server: Server) -> list[bytes]:
    """Return the beginning of an export in chunks."""
    command = [require("curl"), "--silent", f"{server.url}/export/items.ndjson?limit=150000"]
    data = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)][:CHUNKS]


def speed(compress: Compress, chunks: list[bytes]) -> dict[str, float]:
    """Return the speed and the ratio of compression."""
    start = time.perf_counter()
    compressed = sum(len(compress(chunk)) for chunk in chunks)
    seconds = time.perf_counter() - start
    size = sum(map(len, chunks))
    return {"MB/s": size / seconds / 1e6, "ratio": size / compressed}
