"""The architecture of generated projects: the direction of imports, and sizes."""

import re
from fnmatch import fnmatch
from graphlib import TopologicalSorter

import pytest

from support.answers import RECIPES, Answers
from support.project import Project, Render
from support.static import import_graph

LAYERS = [
    ("streaming", "client", "client.*"),
    ("chat", "chat.*"),
    ("*.routes", "*.run_routes", "health"),
    ("events", "events.*", "exports", "exports.*"),
    ("routes", "openapi", "settings", "access", "access.*", "origins"),
    ("problems", "response"),
    ("generators",),
    ("registry", "headers", "commands", "server"),
]
"""The modules of the engine: each imports only from its own layer and from those below."""

WITHOUT_HTTP = {
    "events": ("wire", "subscription", "broker", "memory", "redis", "fanout"),
    "exports": ("columns", "database", "rows", "sqlite", "postgresql", "ndjson", "csv"),
}
"""Brokers, encoders and databases: modules that know nothing of requests and routes."""

NOT_HTTP = {"fastapi.encoders", "starlette.types"}
"""Modules of the frameworks that neither handle requests nor answer them."""

APPLICATION_WORDS = re.compile(r"/items\b|\bitems\.c\b|\busers\b|\bsample_")
"""The tables and the routes of the application, which the engine must not name."""

MAX_LINES = 300

EVERY_RECIPE = [pytest.param(answers, id=recipe) for recipe, answers in RECIPES.items()]
LARGEST = [pytest.param(RECIPES[recipe], id=recipe) for recipe in ("default", "everything")]

every_recipe = pytest.mark.parametrize("answers", EVERY_RECIPE)


def engine_graph(project: Project) -> dict[str, set[str]]:
    """Map the modules of the engine to the modules that they import.

    Names of the engine are relative to it: `events.wire`, and `streaming` for the package itself.
    """
    engine = f"{project.package}.streaming"

    def short(name: str) -> str:
        return "streaming" if name == engine else name.removeprefix(f"{engine}.")

    return {
        short(module): set(map(short, imported))
        for module, imported in import_graph(project.package_path).items()
        if f"{module}.".startswith(f"{engine}.")
    }


def layer(module: str) -> int:
    """Return the layer of a module of the engine, 0 for the top."""
    patterns = {pattern: number for number, group in enumerate(LAYERS) for pattern in group}
    return next(number for pattern, number in patterns.items() if fnmatch(module, pattern))


def lines(project: Project, pattern: str) -> dict[str, int]:
    """Count the lines of the files that match a pattern."""
    return {
        path.relative_to(project.path).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in project.path.glob(pattern)
        if path.is_file()
    }


@every_recipe
def test_engine_imports_nothing_of_the_application(render: Render, answers: Answers) -> None:
    project = render(answers)

    graph = engine_graph(project)

    assert graph
    for module, imported in graph.items():
        assert not {name for name in imported if name.startswith(project.package)}, module


@every_recipe
def test_engine_imports_go_down_without_cycles(render: Render, answers: Answers) -> None:
    graph = engine_graph(render(answers))

    inner = {module: imported & graph.keys() for module, imported in graph.items()}

    TopologicalSorter(inner).prepare()
    for module, imported in inner.items():
        assert not {name for name in imported if layer(name) < layer(module)}, module


@every_recipe
def test_application_imports_are_acyclic(render: Render, answers: Answers) -> None:
    graph = import_graph(render(answers).package_path)

    TopologicalSorter(graph).prepare()


@every_recipe
def test_brokers_and_encoders_import_no_http(render: Render, answers: Answers) -> None:
    graph = engine_graph(render(answers))

    for folder, names in WITHOUT_HTTP.items():
        for module in graph.keys() & {f"{folder}.{name}" for name in names}:
            foreign = graph[module] - NOT_HTTP
            assert not [name for name in foreign if name.startswith(("fastapi", "starlette"))]


@every_recipe
def test_routes_import_no_database_or_broker(render: Render, answers: Answers) -> None:
    graph = engine_graph(render(answers))

    chosen = {"events.memory", "events.redis", "exports.sqlite", "exports.postgresql"}

    for module in graph.keys() & {"events.routes", "exports.routes", "routes", "response"}:
        assert not graph[module] & chosen
        assert not [name for name in graph[module] if name.startswith("sqlalchemy.dialects")]


@every_recipe
def test_engine_names_no_table_or_route(render: Render, answers: Answers) -> None:
    project = render(answers)

    for path in (project.package_path / "streaming").rglob("*.*"):
        if path.suffix != ".pyc":
            assert not APPLICATION_WORDS.search(path.read_text("utf-8")), path


@pytest.mark.parametrize("answers", LARGEST)
def test_module_has_one_job(render: Render, answers: Answers) -> None:
    long = {
        path: length
        for path, length in lines(render(answers), "src/**/*.py").items()
        if length > MAX_LINES
    }

    # A broker of several processes: its connections, its reader and its scripts' replies.
    assert long.keys() <= {"src/streaming_api/streaming/events/redis.py"}


def test_default_project_is_small_enough_to_read(render: Render) -> None:
    project = render(RECIPES["default"])

    source, tests = lines(project, "src/**/*.py"), lines(project, "tests/**/*.py")
    engine = sum(length for path, length in source.items() if "/streaming/" in path)
    application = sum(source.values()) - engine

    print(f"{len(project.files)} files, {application=}, {engine=}, tests={sum(tests.values())}")
    assert len(project.files) <= 97
    assert application <= 1000
    assert engine <= 4825
    assert sum(tests.values()) <= 2000


@pytest.mark.parametrize(("recipe", "most"), [("csv-only", 51), ("events-only", 54)])
def test_project_with_one_format_has_few_files(render: Render, recipe: str, most: int) -> None:
    assert len(render(RECIPES[recipe]).files) <= most
