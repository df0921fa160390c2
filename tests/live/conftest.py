"""Fixtures: generated projects, and the default project as a running service with many rows."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.process import listener
from support.project import Bake, Project
from support.service import ROWS, Service
from support.tools import free_port, require, succeed

HERE = Path(__file__).parent


# First: the hook of xdist reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of this folder on one worker, so that its projects are installed once."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("live"))


@pytest.fixture(scope="session")
def default_project(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Generate the default project in a path with a space."""
    return bake(tmp_path_factory.mktemp("default project"))


@pytest.fixture(scope="session")
def project_on_servers(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Generate and install the default project on PostgreSQL and Redis."""
    folder = tmp_path_factory.mktemp("servers")
    project = bake(folder, database="postgresql", event_broker="redis")
    project.run("python", "-c", "")
    return project


@pytest.fixture(scope="session")
def service(
    default_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Run the default project with 50,000 rows in each table, through its commands."""
    folder = tmp_path_factory.mktemp("service")
    database = folder / "live.db"
    port = free_port()
    env = {
        "DATABASE_URL": f"sqlite:///{database}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "HEARTBEAT_SECONDS": "1",
    }
    command = (require("uv"), "run", default_project.slug)
    succeed(*command, "seed", "--yes", "--rows", str(ROWS), cwd=default_project.path, env=env)
    with listener(
        *(*command, "serve"), port=port, cwd=default_project.path, log=folder / "log", env=env
    ):
        yield Service(f"http://127.0.0.1:{port}", database)


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client
