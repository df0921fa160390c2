"""Compression of exports."""

from fastapi import FastAPI
#{% if cookiecutter.__uses.sse %}
from starlette_compress import CompressMiddleware, add_compress_type, remove_compress_type
#{% else %}
from starlette_compress import CompressMiddleware, add_compress_type
#{% endif %}

from .routes import FORMATS


def install_compression(app: FastAPI) -> None:
    """Compress the exports of `app` for clients that accept Zstandard or gzip.

    The compressor is flushed after every chunk, so rows do not wait in it for later ones.
    """
    for response_class in FORMATS:
        add_compress_type(response_class.media_type, streaming=True)
#{% if cookiecutter.__uses.sse %}
    # Small events become larger, and proxies hold compressed streams back.
    remove_compress_type("text/event-stream")
#{% endif %}
    app.add_middleware(CompressMiddleware, zstd_level=1, brotli=False, gzip_level=1)
