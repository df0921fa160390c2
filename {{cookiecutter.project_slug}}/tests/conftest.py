"""Fixtures: the application in this process, and behind a real server.

They import what they use, so that the process of pytest-xdist which only distributes the tests
starts fast, and so that the application is created in a clean environment.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
#{% if cookiecutter.__uses.postgresql %}
from contextlib import suppress
#{% endif %}
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
#{% if cookiecutter.__uses.postgresql %}
from sqlalchemy.exc import OperationalError
#{% endif %}

#{% if cookiecutter.__uses.postgresql %}
from .postgresql import database_server as database_server
from .postgresql import empty_database as empty_database
from .postgresql import own_database as own_database
#{% endif %}
#{% if cookiecutter.__uses.redis %}
from .redis_server import redis_server as redis_server
from .redis_server import redis_url as redis_url
#{% endif %}
#{% if cookiecutter.__uses.servers %}

#{% endif %}
if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from {{ cookiecutter.__package_name }}.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run all tests without the settings and the proxies of the shell, and without `.env`."""
    from {{ cookiecutter.__package_name }}.settings import Settings

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
        for name in list(os.environ):
            if name.lower() in Settings.model_fields or name.lower().endswith("_proxy"):
                monkeypatch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a folder of its own."""
    monkeypatch.chdir(tmp_path)


#{% if cookiecutter.__uses.sqlite %}
@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create few sample rows, which is fast."""
    from {{ cookiecutter.__package_name }}.streaming.exports import sqlite

    monkeypatch.setattr(sqlite, "SAMPLE_ROWS", 25)


#{% endif %}
@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """The settings: the defaults, and those of `parametrize("settings", [{…}], indirect=True)`.

    Streams end, so that a test which waits for an event in vain fails.
    """
    from {{ cookiecutter.__package_name }}.settings import Settings

    return Settings(**{"max_stream_seconds": 10, **getattr(request, "param", {})})


@pytest.fixture(scope="session")
def create_app(clean_environment: None) -> Callable[[Settings], FastAPI]:
    """The function that creates an application."""
    from {{ cookiecutter.__package_name }}.main import create_app

    return create_app


#{% if cookiecutter.__uses.exports %}
@pytest.fixture
def app(create_app: Callable[[Settings], FastAPI], settings: Settings) -> Iterator[FastAPI]:
    """The application; a module whose tests leave it as it is can create one for all of them."""
    app = create_app(settings)
#{% if cookiecutter.__uses.postgresql %}
    # A test can have a database that is unavailable.
    with suppress(OperationalError):
        for _ in app.state.database.seed(25):
            pass
#{% endif %}
    yield app
    app.state.database.close()
#{% else %}
@pytest.fixture
def app(create_app: Callable[[Settings], FastAPI], settings: Settings) -> FastAPI:
    """The application; a module whose tests leave it as it is can create one for all of them."""
    return create_app(settings)
#{% endif %}


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client of `app` in this process: for responses, not for how streams break."""
    from fastapi.testclient import TestClient

    with TestClient(app) as client:
        yield client


@pytest.fixture
def idle_client(app: FastAPI) -> TestClient:
    """A client of `app` before its start-up: fast, for tests without rows and events."""
    from fastapi.testclient import TestClient

    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def server(app: FastAPI) -> Iterator[str]:
    """The URL of `app` on a real uvicorn: for streams that break, and for other clients."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        uvicorn_server = uvicorn.Server(config)
        thread = threading.Thread(target=uvicorn_server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        uvicorn_server.should_exit = True
        thread.join()
