"""What the tests share: an application of their own, in process and behind a real server."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import settings as hypothesis_settings

from {{ cookiecutter.__package_name }}.main import create_app
from {{ cookiecutter.__package_name }}.settings import Settings
#{% if ((cookiecutter.ndjson or cookiecutter.csv) and cookiecutter.database == "postgresql") or (cookiecutter.sse and cookiecutter.event_broker == "redis") %}

#{% endif %}
#{% if cookiecutter.sse and cookiecutter.event_broker == "redis" %}
from .events.redis_server import redis_server as redis_server
from .events.redis_server import redis_url as redis_url
#{% endif %}
#{% if (cookiecutter.ndjson or cookiecutter.csv) and cookiecutter.database == "postgresql" %}
from .postgresql import database_server as database_server
from .postgresql import empty_database as empty_database
from .postgresql import own_database as own_database
#{% endif %}

# How long an example takes says more about the machine than about the code.
hypothesis_settings.register_profile("tests", deadline=None, max_examples=50)
hypothesis_settings.load_profile("tests")


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in an empty folder, with no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


#{% if cookiecutter.sse and cookiecutter.event_broker == "redis" %}
@pytest.fixture(autouse=True)
def own_redis(redis_url: str, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point every test at a Redis that holds nothing of this service."""
    monkeypatch.setenv("REDIS_URL", redis_url)


#{% endif %}
@pytest.fixture
def settings() -> Settings:
    """The defaults; a test file that needs others overrides this fixture."""
    return Settings()


#{% if cookiecutter.ndjson or cookiecutter.csv %}
@pytest.fixture
def app(settings: Settings) -> Iterator[FastAPI]:
    """An application with nothing in it but its sample rows."""
    app = create_app(settings)
    yield app
    app.state.database.close()
#{% else %}
@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """An application with nothing in it."""
    return create_app(settings)
#{% endif %}


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client of `app` in this process: for what a response says, not for how it ends."""
    with TestClient(app) as client:
        yield client


@pytest.fixture
def idle_client(app: FastAPI) -> TestClient:
    """A client of `app` before its start: fast, for what needs neither rows nor events."""
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def server(app: FastAPI) -> Iterator[str]:
    """The base URL of `app` on a real uvicorn: for what ends, breaks, stalls or never ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        uvicorn_server = uvicorn.Server(config)
        thread = threading.Thread(target=uvicorn_server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        uvicorn_server.should_exit = True
        thread.join()
