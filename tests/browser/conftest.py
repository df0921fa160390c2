"""A browser, and generated services for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support.browser import Visit, executable, launched
from support.project import Bake, Project
from support.service import Restartable

HERE = Path(__file__).parent
TIMEOUT = 30_000
"""Milliseconds after which a test fails that waits for the page."""

Opened = Callable[..., Visit]


# Given the path of this folder, pytest knows this hook before xdist's own, which reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of the one browser on one worker."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Run a browser. It ends with these tests, since others on this worker use asyncio."""
    expect.set_options(timeout=TIMEOUT)
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Opened]:
    """Return a function that makes a page for a service, each in a profile of its own."""
    contexts = []

    def visit(url: str, **options: object) -> Visit:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(TIMEOUT)
        contexts.append(context)
        return Visit(context.new_page(), url)

    yield visit
    for context in contexts:
        context.close()


def install(bake: Bake, folder: Path, **answers: object) -> Project:
    """Generate and install a project, unless no browser is installed."""
    executable()
    project = bake(folder, **answers)
    project.run("python", "-c", "")
    return project


@pytest.fixture(scope="package")
def project(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Generate and install the default project."""
    return install(bake, tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="package")
def redis_project(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Generate and install a project with events in Redis."""
    folder = tmp_path_factory.mktemp("redis")
    return install(bake, folder, event_broker="redis", ndjson=False, csv=False)


@pytest.fixture(scope="package")
def service(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    """Run the default project, for tests that do not change it except for topics of their own."""
    # All tests have one address, and a browser closes a stream with a delay.
    folder = tmp_path_factory.mktemp("service")
    with Restartable(
        project, folder, MAX_STREAMS_PER_CLIENT="1000", SHUTDOWN_GRACE_SECONDS="0.1"
    ).running() as service:
        service.seed()
        yield service


@pytest.fixture
def console(service: Restartable, visit: Opened) -> Visit:
    """Open the console of the default project."""
    console = visit(service.url)
    console.open()
    return console
