"""Invalid answers on the command line: one line, status 1 and no files."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.tools import TEMPLATE, run

pytestmark = pytest.mark.usefixtures("cookiecutter_home")

COOKIECUTTER = (sys.executable, "-m", "cookiecutter", str(TEMPLATE))
DERIVED = [
    name
    for name in json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    if name.startswith("__") and name != "__prompts__"
]

Edit = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["project_name=two\nlines"], ["project_name", "two\\nlines", "one line"]),
        (["description=two\nlines"], ["description", "one line"]),
        (["author_name=two\rlines"], ["author_name", "one line"]),
        (["project_slug=My App"], ["project_slug", "My App", "lower-case letters", "my-app"]),
        (["project_slug=class"], ["project_slug", "class", "keyword", "class-api"]),
        (["project_slug=queue"], ["project_slug", "queue", "standard library", "queue-api"]),
        (["project_slug=sqlalchemy"], ["project_slug", "sqlalchemy", "dependencies"]),
        (["sse=no", "ndjson=no", "csv=no"], ["sse", "ndjson", "csv", "at least one"]),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) else "",
)
def test_invalid_answer_writes_no_file(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = run(*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path), *arguments)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Invalid ")
    for word in words:
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("sse", "maybe"), ("compression", "2"), ("database", "oracle"), ("event_broker", "kafka")],
)
def test_invalid_choice_is_rejected_by_cookiecutter(
    tmp_path: Path, variable: str, value: str
) -> None:
    done = run(*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path), f"{variable}={value}")

    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert variable in line
    assert value in line
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def saved(tmp_path: Path, cookiecutter_home: Path) -> dict[str, Any]:
    """Generate a project; what cookiecutter saved of it for a replay."""
    run(*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path / "first"))
    replay: dict[str, Any] = json.loads((cookiecutter_home / f"{TEMPLATE.name}.json").read_text())
    return replay


def replay(folder: Path, saved: dict[str, Any]) -> tuple[int, str, list[str]]:
    """Generate a project from a replay file; status, errors and the files in the folder."""
    path = folder / "answers.json"
    path.write_text(json.dumps(saved))
    target = folder / "second"

    done = run(*COOKIECUTTER, "--replay-file", str(path), "--output-dir", str(target))

    return done.returncode, done.stderr, [each.name for each in target.glob("**/*")]


@pytest.mark.parametrize(
    ("variable", "value"), [("sse", "no"), ("database", "oracle"), ("license", "GPL")]
)
def test_replay_file_invalid_answer_writes_no_file(
    tmp_path: Path, saved: dict[str, Any], variable: str, value: str
) -> None:
    saved["cookiecutter"][variable] = value

    status, line, files = replay(tmp_path, saved)

    assert status == 1
    assert line.startswith(f"Invalid {variable}='{value}': expected ")
    assert files == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda answers: answers.update(project_slug="another"),
        lambda answers: answers.update(author_name="Ada"),
        lambda answers: answers.update(sse=False),
        lambda answers: answers.update(database="postgresql"),
        lambda answers: answers.update(__package_name="another"),
        lambda answers: answers["__uses"].update(redis="yes"),
        lambda answers: answers["__uses"].pop("redis"),
        *(lambda answers, name=name: answers.pop(name) for name in DERIVED),
        lambda answers: [answers.pop(name) for name in DERIVED],
    ],
    ids=[
        *("slug", "author", "boolean", "choice", "package", "use", "older-use"),
        *(f"without-{name}" for name in DERIVED),
        "older",
    ],
)
def test_replay_file_inconsistent_writes_no_file(
    tmp_path: Path, saved: dict[str, Any], edit: Edit
) -> None:
    edit(saved["cookiecutter"])

    status, line, files = replay(tmp_path, saved)

    assert status == 1
    assert line.startswith("Invalid __fingerprint=")
    assert line.count("\n") == 1
    assert files == []


def test_folder_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "notes.txt").write_text("mine")

    done = run(
        *COOKIECUTTER,
        *("--no-input", "--overwrite-if-exists", "--output-dir", str(tmp_path)),
        "project_slug=class",
    )

    assert done.returncode == 1
    assert [path.name for path in (tmp_path / "class").iterdir()] == ["notes.txt"]
