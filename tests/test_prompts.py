"""The prompts on a terminal, and a replay of the answers."""

import json
import sys
from pathlib import Path

import pytest

from support.project import Project
from support.terminal import terminal
from support.tools import TEMPLATE, run

COOKIECUTTER = (sys.executable, "-m", "cookiecutter", str(TEMPLATE))
PROMPTS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
NAMES = list(PROMPTS["__prompts__"])
LABELS = [
    label if isinstance(label, str) else label["__prompt__"]
    for label in PROMPTS["__prompts__"].values()
]

pytestmark = pytest.mark.usefixtures("cookiecutter_home")


def answer(folder: Path, **lines: str) -> str:
    """Type a line at the named prompts, and Enter at the others; return what the screen shows."""
    folder.mkdir(exist_ok=True)
    with terminal(*COOKIECUTTER, cwd=folder) as screen:
        for number, (name, label) in enumerate(zip(NAMES, LABELS, strict=True), 1):
            screen.expect(f"[{number}/{len(LABELS)}] {label}")
            screen.expect(": ")
            screen.type(lines.get(name, ""))
        assert screen.finish() == 0, screen.transcript
    return screen.transcript


def test_prompts_enter_generates_the_default_project(tmp_path: Path) -> None:
    run(*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path / "quiet"))

    answer(tmp_path / "asked")

    asked, quiet = (Project(tmp_path / name / "streaming-api") for name in ("asked", "quiet"))
    assert asked.contents == quiet.contents


def test_prompts_accept_no_and_a_number(tmp_path: Path) -> None:
    screen = answer(
        tmp_path,
        project_name="Live Feed",
        description="It's live.",
        author_name="Ada",
        sse="yes",
        ndjson="no",
        csv="n",
        request_id="y",
        security_headers="false",
        event_broker="2",
        license="4",
    )

    project = Project(tmp_path / "live-feed")
    assert PROMPTS["__prompts__"]["database"]["sqlite"] in screen
    assert any(name.endswith("events/redis.py") for name in project.files)
    assert not any(name.endswith("events/memory.py") for name in project.files)
    assert not any("exports" in name for name in project.files)
    assert "All rights reserved" in project.read("LICENSE")


def test_prompts_end_with_the_next_steps(tmp_path: Path) -> None:
    target = tmp_path / "with space"

    screen = answer(target)

    where, how_to_run, how_to_test = screen.splitlines()[-3:]
    assert str(target / "streaming-api") in where
    assert "uv run streaming-api serve" in how_to_run
    assert "uv run pytest" in how_to_test


@pytest.mark.parametrize(
    "text",
    [
        'it\'s "quoted" and \\ slashed',
        "{{ 7*7 }}",
        "#{% if %}",
        "واجهة البث",
        "流 🎉",
        "''' + str(1) + '''",
        "</script><b>&amp;",
        "$(touch hacked) `touch hacked`",
    ],
)
def test_prompts_text_reaches_the_project_unchanged(tmp_path: Path, text: str) -> None:
    answer(
        tmp_path,
        project_name=text,
        project_slug="streaming-api",
        description=text,
        author_name=text,
    )

    project = Project(tmp_path / "streaming-api")
    metadata = project.metadata
    assert metadata["description"] == text
    assert metadata["authors"] == [{"name": text}]
    assert text.replace("<", "&lt;") in project.read("README.md")
    for path in project.path.rglob("*.py"):
        compile(path.read_bytes(), path, "exec")
    assert not list(tmp_path.rglob("hacked"))


def test_replay_generates_the_same_project(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    chosen = ("sse=no", "database=postgresql", "compression=no", "project_name=Again")
    first = run(*COOKIECUTTER, "--no-input", *chosen, cwd=tmp_path / "first")

    second = run(*COOKIECUTTER, "--replay", cwd=tmp_path / "second")

    assert first.returncode == second.returncode == 0
    first_project, second_project = (Project(tmp_path / n / "again") for n in ("first", "second"))
    assert first_project.contents == second_project.contents
