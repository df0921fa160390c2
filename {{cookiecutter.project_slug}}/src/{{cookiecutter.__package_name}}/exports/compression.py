"""Compression of exports, at the level that costs a stream the least."""

from fastapi import FastAPI
#{% if cookiecutter.sse %}
from starlette_compress import CompressMiddleware, add_compress_type, remove_compress_type
#{% else %}
from starlette_compress import CompressMiddleware, add_compress_type
#{% endif %}

#{% if cookiecutter.csv %}
from .csv import CSVResponse
#{% endif %}
#{% if cookiecutter.ndjson %}
from .ndjson import NDJSONResponse
#{% endif %}


def install_compression(app: FastAPI) -> None:
    """Compress the exports of `app` for clients that accept Zstandard or gzip.

    Every chunk leaves when it was sent: rows do not wait in the compressor for others to come.
    """
#{% if cookiecutter.ndjson %}
    add_compress_type(NDJSONResponse.media_type, streaming=True)
#{% endif %}
#{% if cookiecutter.csv %}
    add_compress_type(CSVResponse.media_type, streaming=True)
#{% endif %}
#{% if cookiecutter.sse %}
    # Nine bytes of an event would become twenty-five, for proxies to take apart.
    remove_compress_type("text/event-stream")
#{% endif %}
    app.add_middleware(CompressMiddleware, zstd_level=1, brotli=False, gzip_level=1)
