"""Fixtures for all tests of the template."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from cookiecutter.main import cookiecutter

from support import servers
from support.answers import Answers
from support.project import Bake, Project, Render
from support.tools import TEMPLATE


@pytest.fixture(scope="session")
def cookiecutter_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep cookiecutter's replay files and the user's own defaults out of the tests."""
    home = tmp_path_factory.mktemp("cookiecutter")
    config = home / "config.yaml"
    config.write_text(f"cookiecutters_dir: '{home}'\nreplay_dir: '{home}'\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COOKIECUTTER_CONFIG", str(config))
        yield home


@pytest.fixture(scope="session")
def bake(tmp_path_factory: pytest.TempPathFactory, cookiecutter_home: Path) -> Bake:  # noqa: ARG001
    """Generate projects through cookiecutter's API, hooks included."""

    def bake(folder: Path | None = None, /, **answers: object) -> Project:
        result = cookiecutter(
            str(TEMPLATE),
            no_input=True,
            extra_context=answers,
            output_dir=str(folder or tmp_path_factory.mktemp("baked")),
        )
        return Project(Path(result))

    return bake


@pytest.fixture(scope="session")
def render(bake: Bake) -> Render:
    """Generate each combination of answers once, for tests that only read the project."""
    projects: dict[str, Project] = {}

    def render(answers: Answers) -> Project:
        key = json.dumps(answers, sort_keys=True)
        if key not in projects:
            projects[key] = bake(**answers)
        return projects[key]

    return render


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Run a Redis for the session; return its URL."""
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Run a PostgreSQL for the session; return its URL, without the name of a database."""
    with servers.postgresql() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """Create an empty database; return its URL."""
    return servers.new_database(postgresql_server, f"test_{uuid4().hex}")
