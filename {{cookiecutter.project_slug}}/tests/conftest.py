"""Fixtures: the application in this process, and behind a real server."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }}.settings import Settings
#{% if cookiecutter.__uses.exports %}
from {{ cookiecutter.__package_name }}.streaming.exports import database
#{% endif %}
#{% if cookiecutter.__uses.servers %}

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


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty folder, without the settings and the proxies of the shell."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.lower() in Settings.model_fields or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


#{% if cookiecutter.__uses.exports %}
@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create few sample rows, which is fast."""
    monkeypatch.setattr(database, "SAMPLE_ROWS", 25)


#{% endif %}
@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """The settings: the defaults, and those of `parametrize("settings", [{…}], indirect=True)`.

    Streams end, so that a test which waits for an event in vain fails.
    """
    return Settings(**{"max_stream_seconds": 20, **getattr(request, "param", {})})


@pytest.fixture
#{% if cookiecutter.__uses.exports %}
def app(settings: Settings) -> Iterator[FastAPI]:
#{% else %}
def app(settings: Settings) -> FastAPI:
#{% endif %}
    """The application."""
    # The import creates an application, too: from an environment that is clean only now.
    from {{ cookiecutter.__package_name }}.main import create_app

#{% if cookiecutter.__uses.exports %}
    app = create_app(settings)
    yield app
    app.state.database.close()
#{% else %}
    return create_app(settings)
#{% endif %}


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client of `app` in this process: for responses, not for how streams break."""
    with TestClient(app) as client:
        yield client


@pytest.fixture
def idle_client(app: FastAPI) -> TestClient:
    """A client of `app` before its start-up: fast, for tests without rows and events."""
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def server(app: FastAPI) -> Iterator[str]:
    """The URL of `app` on a real uvicorn: for streams that break, and for other clients."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        uvicorn_server = uvicorn.Server(config)
        thread = threading.Thread(target=uvicorn_server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        uvicorn_server.should_exit = True
        thread.join()
