"""The prompts as a person meets them, and the answers given again."""

import json
import sys
from pathlib import Path

import pytest

from support.project import Project
from support.terminal import terminal
from support.tools import TEMPLATE, run

COOKIECUTTER = (sys.executable, "-m", "cookiecutter", str(TEMPLATE))
PROMPTS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
LABELS = [
    label if isinstance(label, str) else label["__prompt__"]
    for label in PROMPTS["__prompts__"].values()
]

pytestmark = pytest.mark.usefixtures("cookiecutter_home")


def answer(folder: Path, *lines: str) -> str:
    """Type the lines, one at each prompt and Enter at the rest; return what the screen showed."""
    folder.mkdir(exist_ok=True)
    with terminal(*COOKIECUTTER, cwd=folder) as screen:
        for number, label in enumerate(LABELS, 1):
            screen.expect(f"[{number}/{len(LABELS)}] {label}")
            screen.expect(": ")
            screen.type(lines[number - 1] if number <= len(lines) else "")
        assert screen.finish() == 0, screen.transcript
    return screen.transcript


def test_enter_at_every_prompt_makes_the_default_project(tmp_path: Path) -> None:
    run(*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path / "quiet"))

    answer(tmp_path / "asked")

    asked, quiet = (Project(tmp_path / name / "streaming-api") for name in ("asked", "quiet"))
    assert asked.contents == quiet.contents


def test_a_person_can_say_no_and_choose_by_number(tmp_path: Path) -> None:
    screen = answer(
        tmp_path,
        *("Live Feed", "", "It's live.", "Ada", "yes", "no", "n", "y", "false", "", "1", "2", "4"),
    )

    project = Project(tmp_path / "live-feed")
    assert "SQLite: a file, nothing to run" in screen
    assert "src/live_feed/events/redis.py" in project.files
    assert "src/live_feed/events/memory.py" not in project.files
    assert not any("exports" in name for name in project.files)


def test_the_last_three_lines_help_on(tmp_path: Path) -> None:
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
def test_what_is_typed_is_taken_to_the_letter(tmp_path: Path, text: str) -> None:
    answer(tmp_path, text, "streaming-api", text, text)

    project = Project(tmp_path / "streaming-api")
    metadata = project.metadata
    assert metadata["description"] == text
    assert metadata["authors"] == [{"name": text}]
    assert text.replace("<", "&lt;") in project.read("README.md")
    for path in project.path.rglob("*.py"):
        compile(path.read_bytes(), path, "exec")
    assert not list(tmp_path.rglob("hacked"))


def test_replay_gives_the_same_project_again(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    chosen = ("sse=no", "database=postgresql", "compression=no", "project_name=Again")
    first = run(*COOKIECUTTER, "--no-input", *chosen, cwd=tmp_path / "first")

    second = run(*COOKIECUTTER, "--replay", cwd=tmp_path / "second")

    assert first.returncode == second.returncode == 0
    first_project, second_project = (Project(tmp_path / n / "again") for n in ("first", "second"))
    assert first_project.contents == second_project.contents
