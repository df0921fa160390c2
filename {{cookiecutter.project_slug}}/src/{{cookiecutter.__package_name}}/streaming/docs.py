"""The API documentation at `/docs`: Swagger UI from local files, without inline scripts."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
#{% if cookiecutter.__uses.tokens %}

from .access.dependencies import PUBLIC
#{% endif %}

PAGES = Path(__file__).parent / "docs"
SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"


async def get_docs() -> FileResponse:
    """Return the page of Swagger UI."""
    return FileResponse(PAGES / "docs.html")


def install_docs(app: FastAPI) -> None:
    """Add `/docs` to `app`."""
#{% if cookiecutter.__uses.tokens %}
    app.add_api_route("/docs", get_docs, dependencies=[PUBLIC], include_in_schema=False)
#{% else %}
    app.add_api_route("/docs", get_docs, include_in_schema=False)
#{% endif %}
    app.mount("/static/swagger-ui", StaticFiles(directory=SWAGGER_UI))
    app.mount("/static/docs", StaticFiles(directory=PAGES))
