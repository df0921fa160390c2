"""Pages of other origins (Fetch standard, section 3.3)."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

ALLOWED_HEADERS = [
    "Authorization",
#{% if cookiecutter.sse %}
    "Last-Event-ID",
#{% endif %}
]
#{% if cookiecutter.sse %}
ALLOWED_METHODS = ["GET", "POST"]
#{% else %}
ALLOWED_METHODS = ["GET"]
#{% endif %}
EXPOSED_HEADERS = [
#{% if cookiecutter.ndjson or cookiecutter.csv %}
    "Content-Disposition",
#{% endif %}
#{% if cookiecutter.sse %}
    "Location",
#{% endif %}
    "Retry-After",
#{% if cookiecutter.request_id %}
    "X-Request-Id",
#{% endif %}
]


def install_cors(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of exactly these origins use `app`, with a token and without a session."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=ALLOWED_METHODS,
            allow_headers=ALLOWED_HEADERS,
            expose_headers=EXPOSED_HEADERS,
        )
