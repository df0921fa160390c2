"""Fixtures: the application in process, and behind a real server."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }}.main import create_app
from {{ cookiecutter.__package_name }}.settings import Settings
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
    """Run every test in an empty folder and without settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


#{% if cookiecutter.__uses.redis %}
@pytest.fixture(autouse=True)
def own_redis(redis_url: str, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a Redis without data of the service."""
    monkeypatch.setenv("REDIS_URL", redis_url)


#{% endif %}
@pytest.fixture
def settings() -> Settings:
    """The default settings; a test module that needs others overrides this fixture."""
    return Settings()


@pytest.fixture
def app(settings: Settings) -> Iterator[FastAPI]:
    """The application."""
    app = create_app(settings)
    yield app
#{% if cookiecutter.__uses.exports %}
    app.state.database.close()
#{% endif %}


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client of `app` in this process: for responses, not for how streams end."""
    with TestClient(app) as client:
        yield client


@pytest.fixture
def idle_client(app: FastAPI) -> TestClient:
    """A client of `app` before its start-up: fast, for tests without rows and events."""
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def server(app: FastAPI) -> Iterator[str]:
    """The URL of `app` on a real uvicorn: for streams that end, break, stall or never end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        uvicorn_server = uvicorn.Server(config)
        thread = threading.Thread(target=uvicorn_server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        uvicorn_server.should_exit = True
        thread.join()
