"""What every combination of answers renders: files, syntax, style, dependencies and words."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment

from support.answers import (
    DEFAULT,
    FACTORS,
    Answers,
    covering_set,
    every_variant,
    name,
    normal,
    valid,
)
from support.project import Bake, Project
from support.static import (
    distributions,
    group_dependencies,
    imported,
    loaded_by_name,
    runtime_dependencies,
)
from support.tools import TEMPLATE, require, succeed

Render = Callable[[Answers], Project]

EXPECTED_FILES = (Path(__file__).parent / "files.txt").read_text(encoding="utf-8")

SETTING_OF = {"pytest-xdist": "numprocesses"}
"""The settings by which tools are used that are not called by their names."""

MENTIONS = {
    "sse": ["/events/", "Server-Sent Events", "/jobs"],
    "ndjson": ["/export/items", "NDJSON"],
    "csv": ["/export/users.csv", "CSV_ESCAPE_FORMULAS"],
    "request_id": ["X-Request-Id"],
    "security_headers": ["Content-Security-Policy"],
    "compression": ["compress"],
    "sqlite": ["SQLite"],
    "postgresql": ["PostgreSQL"],
    "redis": ["Redis", "REDIS_URL"],
    "exports": ["DATABASE_URL", "seed --rows"],
}
"""Words of the README that stand for a choice."""

TRACES = {
    "sse": ["text/event-stream", "EventSource", "Last-Event-ID", "HEARTBEAT_SECONDS", "/jobs"],
    "ndjson": ["ndjson", "/export/items"],
    "csv": ["csv"],
    "request_id": ["X-Request-Id", "RequestIdMiddleware"],
    "security_headers": ["Content-Security-Policy", "SecurityHeadersMiddleware"],
    "compression": ["zstd", "starlette_compress", "starlette-compress"],
    "sqlite": ["sqlite"],
    "postgresql": ["postgres", "asyncpg"],
    "redis": ["redis"],
    "exports": ["DATABASE_URL", "/export/"],
}
"""Words that nothing of a project holds when the choice was not made, in any case of letters."""

VARIANTS = [
    pytest.param(answers, id=name(answers), marks=pytest.mark.xdist_group(name(answers)))
    for answers in every_variant()
]

every = pytest.mark.parametrize("answers", VARIANTS)


def made(answers: Answers) -> dict[str, bool]:
    """Tell for every choice that has words of its own whether the answers make it."""
    exports = bool(answers["ndjson"] or answers["csv"])
    return {
        **{choice: bool(answers[choice]) for choice in ("sse", "ndjson", "csv")},
        **{choice: bool(answers[choice]) for choice in ("request_id", "security_headers")},
        "exports": exports,
        "compression": exports and bool(answers["compression"]),
        "sqlite": exports and answers["database"] == "sqlite",
        "postgresql": exports and answers["database"] == "postgresql",
        "redis": bool(answers["sse"]) and answers["event_broker"] == "redis",
    }


def texts(project: Project) -> dict[str, str]:
    """Return every file that is text."""
    found = {}
    for path, content in project.contents.items():
        try:
            found[path] = content.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return found


@pytest.fixture(scope="session")
def render(bake: Bake) -> Render:
    """Generate each combination once."""
    projects: dict[str, Project] = {}

    def render(answers: Answers) -> Project:
        key = json.dumps(answers)
        if key not in projects:
            projects[key] = bake(**answers)
        return projects[key]

    return render


@every
def test_the_files_are_exactly_those_of_the_choice(render: Render, answers: Answers) -> None:
    expected = set()
    for line in EXPECTED_FILES.splitlines():
        path, _, condition = line.partition(" if ")
        if not condition or Environment(autoescape=True).compile_expression(condition)(**answers):
            expected.add(path.replace("PACKAGE", "streaming_api"))

    assert render(answers).files == expected


@every
def test_documents_name_tests_that_are_there(render: Render, answers: Answers) -> None:
    contents = texts(render(answers))
    tests = "".join(text for path, text in contents.items() if path.startswith("tests/"))
    documents = "".join(text for path, text in contents.items() if path.startswith("docs/"))

    names = set(re.findall(r"`(test_\w+)`", documents))
    paths = set(re.findall(r"`(tests/[\w/]+\.py)`", documents))

    assert {name for name in names if f"def {name}(" not in tests} == set()
    assert paths <= contents.keys()


@every
def test_no_trace_of_the_template_is_left(render: Render, answers: Answers) -> None:
    jinja = re.compile(r"#\{%|\{%-?\s|(?<!\$)\{\{\s*cookiecutter|__package_name|__escaped")

    left = [name for name, text in texts(render(answers)).items() if jinja.search(text)]

    assert left == []


@every
def test_every_file_ends_with_one_line_feed(render: Render, answers: Answers) -> None:
    for path, text in texts(render(answers)).items():
        assert "\r" not in text, path
        assert text == "" or (text.endswith("\n") and not text.endswith("\n\n")), path
        assert not text.startswith("\n"), path
        assert not re.search(r"[ \t]$", text, re.MULTILINE) or path.endswith(".md"), path
        assert "\n\n\n\n" not in text, path


@every
def test_every_file_parses(render: Render, answers: Answers) -> None:
    parsers: dict[str, Callable[[str], object]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
        ".py": lambda text: compile(text, "", "exec"),
    }

    for path, text in texts(render(answers)).items():
        parse = parsers.get(Path(path).suffix, str)
        parse(text)


@every
def test_ruff_finds_nothing_as_generated(render: Render, answers: Answers) -> None:
    check_style(render(answers))


@pytest.mark.parametrize("slug", ["x", "a-service-with-a-name-of-forty-characters"])
@pytest.mark.parametrize("answers", covering_set(), ids=name)
def test_ruff_finds_nothing_whatever_the_length_of_the_name(
    render: Render, answers: Answers, slug: str
) -> None:
    check_style(render(answers | {"project_slug": slug}))


def check_style(project: Project) -> None:
    """Let ruff check a project, and find nothing to format."""
    ruff = require("ruff")
    succeed(ruff, "check", "--no-cache", ".", cwd=project.path)
    formatted = succeed(ruff, "format", "--no-cache", "--check", ".", cwd=project.path)
    assert "already formatted" in formatted


@every
def test_every_import_is_declared_and_every_dependency_used(
    render: Render, answers: Answers
) -> None:
    project = render(answers)
    package = project.path / "src"
    source = distributions(imported(package), project.package) | loaded_by_name(package)
    tests = distributions(imported(project.path / "tests"), project.package, "tests", "conftest")
    runtime, groups = runtime_dependencies(project), group_dependencies(project)
    by_name = "\n".join(
        project.read(path)
        for path in ("pyproject.toml", ".pre-commit-config.yaml", ".github/workflows/ci.yml")
    )

    assert source == runtime
    assert tests <= runtime | groups
    for tool in groups - tests:
        word = SETTING_OF.get(tool, tool.removeprefix("pytest-"))
        assert len(re.findall(rf"\b{re.escape(word)}\b", by_name)) > (tool not in SETTING_OF), (
            f"{tool} is not used"
        )


@every
def test_the_readme_tells_of_what_was_chosen_and_of_nothing_else(
    render: Render, answers: Answers
) -> None:
    readme = render(answers).read("README.md").lower()

    for choice, chosen in made(answers).items():
        for word in MENTIONS[choice]:
            assert (word.lower() in readme) is chosen, f"{word} in README.md"


@every
def test_what_was_not_chosen_leaves_no_trace(render: Render, answers: Answers) -> None:
    everything = texts(render(answers))

    found = [
        f"{word} in {path}"
        for choice, chosen in made(answers).items()
        if not chosen
        for word in TRACES[choice]
        for path, text in everything.items()
        if word.lower() in text.lower() or word.lower() in path.lower()
    ]

    assert found == []


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(
            answers, id=name(answers), marks=pytest.mark.xdist_group(name(normal(answers)))
        )
        for answers in valid()
        if answers != normal(answers) and answers["license"] == DEFAULT["license"]
    ],
)
def test_an_answer_that_does_not_matter_changes_nothing(render: Render, answers: Answers) -> None:
    assert render(answers).contents == render(normal(answers)).contents


@pytest.mark.parametrize("license_name", FACTORS["license"])
def test_the_license_is_the_chosen_one(bake: Bake, license_name: str) -> None:
    first_words = {
        "MIT": "MIT License",
        "Apache-2.0": "Apache License",
        "BSD-3-Clause": "BSD 3-Clause License",
        "Proprietary": "Copyright",
    }

    project = bake(license=license_name, author_name="Ada Lovelace")

    assert project.read("LICENSE").strip().startswith(first_words[license_name])
    assert "Ada Lovelace" in project.read("LICENSE")
    expression = "LicenseRef-Proprietary" if license_name == "Proprietary" else license_name
    assert project.metadata["license"] == expression


def test_the_name_reaches_the_folder_the_package_and_the_command(bake: Bake) -> None:
    project = bake(project_slug="live-feed-2")

    assert project.path.name == project.metadata["name"] == "live-feed-2"
    assert list(project.metadata["scripts"]) == ["live-feed-2"]
    assert (project.path / "src" / "live_feed_2" / "__init__.py").is_file()


def test_a_folder_with_spaces_changes_nothing(bake: Bake, tmp_path: Path) -> None:
    spaced = bake(tmp_path / "two  spaces and é")

    assert spaced.contents == bake().contents


def test_the_template_itself_stays_valid_python_and_toml() -> None:
    root = TEMPLATE / "{{cookiecutter.project_slug}}"

    for path in root.rglob("*.py"):
        source = re.sub(r"\{\{.*?\}\}", "name", path.read_text(encoding="utf-8"))
        compile(source, str(path), "exec")
    for path in root.rglob("*.toml"):
        tomllib.loads(path.read_text(encoding="utf-8"))
