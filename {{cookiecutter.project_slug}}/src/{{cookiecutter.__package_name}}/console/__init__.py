"""The console: a page that shows the streams of the service."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
#{% if cookiecutter.__uses.tokens %}

from ..streaming import PUBLIC
#{% endif %}

PAGES = Path(__file__).parent


async def get_console() -> FileResponse:
    """Return the page."""
    return FileResponse(PAGES / "index.html")


def install(app: FastAPI) -> None:
    """Add the page to `app`."""
#{% if cookiecutter.__uses.tokens %}
    app.add_api_route(
        "/", get_console, methods=["GET", "HEAD"], dependencies=[PUBLIC], include_in_schema=False
    )
#{% else %}
    app.add_api_route("/", get_console, methods=["GET", "HEAD"], include_in_schema=False)
#{% endif %}
    app.mount("/static", StaticFiles(directory=PAGES / "static"))
