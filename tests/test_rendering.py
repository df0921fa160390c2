"""Every variant as rendered: files, syntax, style, dependencies and words."""

import ast
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, StrictUndefined
from packaging.requirements import Requirement

import pre_gen_project
from support.answers import (
    DECLINED,
    DEFAULT,
    FACTORS,
    Answers,
    covering_set,
    flips,
    name,
    normal,
    uses,
    variants,
)
from support.names import imports
from support.project import Bake, Project, Render
from support.static import (
    distributions,
    group_dependencies,
    loaded_by_name,
    runtime_dependencies,
)
from support.tools import TEMPLATE, require, succeed

PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
EXPECTED_FILES = (Path(__file__).parent / "files.txt").read_text(encoding="utf-8")
EXPRESSIONS = Environment(undefined=StrictUndefined, autoescape=True)

VARIABLES = {
    *("project_name", "project_slug", "description", "author_name", "license"),
    *("__package_name", "__uses", "__escaped", "__literal"),
}
"""The variables that files of the template use: conditions are names of `__uses` alone."""

PARSERS: dict[str, Callable[[str], object]] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
    ".py": lambda text: compile(text, "", "exec"),
}

ONE_SYSTEM = {"fcntl", "grp", "msvcrt", "pty", "pwd", "resource", "termios", "tty", "winreg"}
"""Modules of Python that not every system has: `import` of one in a function is no obstacle."""

SETTING_OF = {"pytest-xdist": "numprocesses"}
"""Tools that are used through a setting instead of by name."""

MENTIONS = {
    "sse": ["/events/", "Server-Sent Events", "/runs"],
    "ndjson": ["NDJSON"],
    "csv": ["/export/users.csv", "CSV_ESCAPE_FORMULAS"],
    "chat": ["MODEL_URL", "docs/chat.md"],
    "openai": ["/v1/chat/completions"],
    "ai_sdk": ["/api/chat", "AI SDK"],
    "exports": ["DATABASE_URL", "seed --rows", "/export/"],
    "request_id": ["X-Request-Id"],
    "security_headers": ["Content-Security-Policy"],
    "compression": ["compress"],
    "sqlite": ["SQLite"],
    "postgresql": ["PostgreSQL"],
    "redis": ["Redis", "REDIS_URL"],
    "tokens": ["API_TOKENS", "/session", "Bearer"],
    "origins": ["CORS_ORIGINS"],
}
"""Words that the README contains if and only if it has the use."""

TRACES = {
    "sse": ["text/event-stream", "EventSource", "Last-Event-ID", "HEARTBEAT_SECONDS", "/runs"],
    # A batch of events is published as NDJSON.
    "ndjson": [r"\.ndjson", "NDJSONResponse", r"ndjson\.(js|py)"],
    "csv": [r"(?<!import )csv(?!\.(reader|Error))"],
    "chat": [r"\bchats?\b", r"\bmodel[.]py\b", "model_url"],
    "openai": ["/v1/", "chatcmpl"],
    "ai_sdk": ["/api/chat", "useChat", r"\bAI SDK\b"],
    "exports": ["(?-i:DATABASE_URL)", "database_url:", "/export/", "sqlalchemy"],
    "request_id": ["X-Request-Id", "RequestIdMiddleware"],
    "security_headers": ["Content-Security-Policy", "SecurityHeadersMiddleware"],
    "compression": ["zstd", "starlette.compress"],
    "sqlite": ["sqlite"],
    "postgresql": ["postgres", "psycopg"],
    "memory": ["MemoryBroker"],
    "redis": ["redis(?!tribut)"],
    "tokens": [
        *("API_TOKEN", "Bearer", "/session", "itsdangerous", "(?-i:Scope[.][A-Z])"),
        *("ALLOW_ANONYMOUS", "ALLOWED_HOSTS", "SESSION_"),
        r"\b(an?|the|API|with|without|no|and) tokens?\b",
    ],
    "origins": ["CORS"],
    "console": ["console/", r"from \. import .*\bconsole\b", r"\bthe console\b"],
    "client": ["streaming.client", "def tail", "tail[.]py", r"\bAPI_TOKEN\b"],
    "deployment": ["docker", r"\bcompose\b", "nginx.conf", "deploy/"],
}
"""Patterns that match neither path nor text of a project without the use, in any case."""

OUTSIDE_ENGINE = {
    "tokens": [r"\bscopes\b", r"\bthe scope\b"],
    "client": [r"\btail\b"],
    "deployment": ["nginx"],
}
"""The same for files outside of the engine, where these words have another meaning."""

EVERY_VARIANT = [
    pytest.param(answers, id=name(answers), marks=pytest.mark.xdist_group(name(answers)))
    for answers in variants()
]

every_variant = pytest.mark.parametrize("answers", EVERY_VARIANT)


def texts(project: Project) -> dict[str, str]:
    """Return the files that are text."""
    found = {}
    for path, content in project.contents.items():
        try:
            found[path] = content.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return found


def check_style(project: Project) -> None:
    """Fail if ruff finds or formats anything in a project."""
    ruff = require("ruff")
    succeed(ruff, "check", "--no-cache", ".", cwd=project.path)
    formatted = succeed(ruff, "format", "--no-cache", "--check", ".", cwd=project.path)
    assert "already formatted" in formatted


@every_variant
def test_files_are_those_of_the_uses(render: Render, answers: Answers) -> None:
    used = uses(answers)
    expected = set()
    for line in EXPECTED_FILES.splitlines():
        path, _, condition = line.partition(" if ")
        if not condition or EXPRESSIONS.compile_expression(condition)(**used):
            expected.add(path.replace("PACKAGE", "streaming_api"))

    files = render(answers).files

    assert files == expected


@every_variant
def test_documents_name_existing_tests(render: Render, answers: Answers) -> None:
    contents = texts(render(answers))
    tests = "".join(text for path, text in contents.items() if path.startswith("tests/"))
    documents = "".join(text for path, text in contents.items() if path.endswith(".md"))

    names = set(re.findall(r"`(test_\w+)`", documents))
    paths = set(re.findall(r"`(tests/[\w/]+\.py)`", documents))

    assert {name for name in names if f"def {name}(" not in tests} == set()
    assert paths <= contents.keys()


@every_variant
def test_documents_link_to_existing_files(render: Render, answers: Answers) -> None:
    project = render(answers)

    for path in project.files:
        if path.endswith(".md"):
            links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", project.read(path))
            folder = (project.path / path).parent
            assert [link for link in links if not (folder / link).exists()] == [], path


@every_variant
def test_files_contain_no_template_code(render: Render, answers: Answers) -> None:
    jinja = re.compile(r"#\{%|\{%-?\s|(?<!\$)\{\{\s*cookiecutter|__package_name|__escaped")

    left = [path for path, text in texts(render(answers)).items() if jinja.search(text)]

    assert left == []


@every_variant
def test_files_end_with_one_line_feed(render: Render, answers: Answers) -> None:
    for path, text in texts(render(answers)).items():
        assert "\r" not in text, path
        assert text == "" or (text.endswith("\n") and not text.endswith("\n\n")), path
        assert not text.startswith("\n"), path
        assert not re.search(r"[ \t]$", text, re.MULTILINE) or path.endswith(".md"), path
        assert "\n\n\n\n" not in text, path


@every_variant
def test_files_parse(render: Render, answers: Answers) -> None:
    for path, text in texts(render(answers)).items():
        PARSERS.get(Path(path).suffix, str)(text)


@every_variant
def test_ruff_accepts_every_variant(render: Render, answers: Answers) -> None:
    check_style(render(answers))


@pytest.mark.parametrize("slug", ["x", "a-service-with-a-name-of-forty-characters"])
@pytest.mark.parametrize("answers", covering_set(), ids=name)
def test_ruff_accepts_names_of_any_length(bake: Bake, answers: Answers, slug: str) -> None:
    check_style(bake(**answers, project_slug=slug))


@every_variant
def test_imports_match_the_dependencies(render: Render, answers: Answers) -> None:
    project = render(answers)
    source = distributions(project.package_path, project.package)
    source |= loaded_by_name(project.package_path)
    tests = distributions(project.path / "tests", project.package, "tests", "conftest")
    runtime, groups = runtime_dependencies(project), group_dependencies(project)
    configuration = "\n".join(
        project.read(path)
        for path in ("pyproject.toml", ".pre-commit-config.yaml", ".github/workflows/ci.yml")
    )

    assert source == runtime
    assert tests <= runtime | groups
    for tool in groups - tests:
        word = SETTING_OF.get(tool, tool.removeprefix("pytest-"))
        declared = tool not in SETTING_OF
        assert len(re.findall(rf"\b{re.escape(word)}\b", configuration)) > declared, tool


@every_variant
def test_imports_at_the_start_exist_on_every_system(render: Render, answers: Answers) -> None:
    project = render(answers)

    for path, text in texts(project).items():
        if path.endswith(".py"):
            body = ast.parse(text).body
            first = [each for each in body if isinstance(each, ast.Import | ast.ImportFrom)]
            assert not ONE_SYSTEM & set(imports(first)), path


def test_zstandard_is_installed_where_python_lacks_it(render: Render) -> None:
    listed = [*map(Requirement, render(DEFAULT).pyproject["dependency-groups"]["dev"])]

    (zstandard,) = (each for each in listed if each.name == "zstandard")

    assert zstandard.marker
    for python, is_needed in [("3.11", True), ("3.13", True), ("3.14", False), ("3.15", False)]:
        assert zstandard.marker.evaluate({"python_version": python}) is is_needed


@every_variant
def test_readme_mentions_the_uses_alone(render: Render, answers: Answers) -> None:
    readme = render(answers).read("README.md").lower()
    used = uses(answers)

    wrong = [
        f"{word}: {'missing' if used[use] else 'not chosen'}"
        for use, words in MENTIONS.items()
        for word in words
        if (word.lower() in readme) is not used[use]
    ]

    assert wrong == []


@every_variant
def test_choice_not_made_leaves_no_trace(render: Render, answers: Answers) -> None:
    contents = texts(render(answers))

    found = [
        f"{path}: {match[0]}"
        for use, chosen in uses(answers).items()
        if not chosen
        for path, text in contents.items()
        for pattern in traces(use, path)
        for match in re.finditer(pattern, f"{path}\n{text}", re.IGNORECASE)
    ]

    assert found == []


def traces(use: str, path: str) -> list[str]:
    """Return the patterns that a file must not match without a use."""
    outside = [] if "/streaming/" in path else OUTSIDE_ENGINE.get(use, [])
    return TRACES.get(use, []) + outside


@pytest.mark.parametrize("form", pre_gen_project.FORMATS)
def test_answers_that_do_not_matter_change_nothing(render: Render, form: str) -> None:
    base = normal(DECLINED | {form: True})
    others = [answers for answers in flips(base) if answers != base and normal(answers) == base]

    assert others
    for answers in others:
        assert render(answers).contents == render(base).contents


@pytest.mark.parametrize("license_name", FACTORS["license"])
def test_license_is_the_chosen_one(bake: Bake, license_name: str) -> None:
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


def test_slug_names_folder_package_and_command(bake: Bake) -> None:
    project = bake(project_slug="live-feed-2")

    assert project.path.name == project.metadata["name"] == "live-feed-2"
    assert list(project.metadata["scripts"]) == ["live-feed-2"]
    assert (project.path / "src" / "live_feed_2" / "__init__.py").is_file()


def test_target_folder_with_spaces_changes_nothing(bake: Bake, tmp_path: Path) -> None:
    spaced = bake(tmp_path / "two  spaces and é")

    assert spaced.contents == bake().contents


def test_template_files_are_valid_as_they_are() -> None:
    for path in PROJECT.rglob("*.py"):
        source = re.sub(r"\{\{.*?\}\}", "name", path.read_text(encoding="utf-8"))
        compile(source, str(path), "exec")
    for path in PROJECT.rglob("*.toml"):
        tomllib.loads(path.read_text(encoding="utf-8"))


def test_template_conditions_are_names_of_uses() -> None:
    known = uses(DEFAULT).keys()

    for path in PROJECT.rglob("*.*"):
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert set(re.findall(r"cookiecutter\.(\w+)", text)) <= VARIABLES, path
            assert set(re.findall(r"(?:__|\b)uses\.(\w+)", text)) <= known, path
