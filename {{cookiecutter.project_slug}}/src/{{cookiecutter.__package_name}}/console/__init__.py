"""The pages for people: the start page and the API's documentation, from files, without a CDN."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from ..access import PUBLIC

PAGES = Path(__file__).parent
SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"


async def start_page() -> FileResponse:
    """Show what this service streams."""
    return FileResponse(PAGES / "index.html")


async def documentation_page() -> FileResponse:
    """Show Swagger UI."""
    return FileResponse(PAGES / "docs.html")


def install(app: FastAPI) -> None:
    """Add the pages to `app`."""
    app.add_api_route("/", start_page, dependencies=[PUBLIC], include_in_schema=False)
    app.add_api_route("/docs", documentation_page, dependencies=[PUBLIC], include_in_schema=False)
    app.mount("/static/swagger-ui", StaticFiles(directory=SWAGGER_UI))
    app.mount("/static", StaticFiles(directory=PAGES / "static"))
