"""Bad answers on the command line: one sentence, status 1 and nothing written."""

import json
import sys
from pathlib import Path

import pytest

from support.tools import TEMPLATE, run

pytestmark = pytest.mark.usefixtures("cookiecutter_home")

COOKIECUTTER = (sys.executable, "-m", "cookiecutter", str(TEMPLATE))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["project_name=two\nlines"], ["project_name", "two\\nlines", "one line"]),
        (["description=two\nlines"], ["description", "one line"]),
        (["author_name=two\rlines"], ["author_name", "one line"]),
        (["project_slug=2fast"], ["project_slug", "2fast", "lower-case letters"]),
        (["project_slug=class"], ["project_slug", "class", "keyword"]),
        (["project_slug=queue"], ["project_slug", "queue", "standard library"]),
        (["project_slug=sqlalchemy"], ["project_slug", "sqlalchemy", "needs itself"]),
        (["sse=no", "ndjson=no", "csv=no"], ["sse", "ndjson", "csv", "at least one"]),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) else "",
)
def test_a_bad_answer_stops_before_a_file_is_written(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = run(*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path), *arguments)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "given"),
    [("sse", "maybe"), ("compression", "2"), ("database", "oracle"), ("event_broker", "kafka")],
)
def test_cookiecutter_itself_refuses_what_is_no_boolean_and_no_choice(
    tmp_path: Path, variable: str, given: str
) -> None:
    done = run(*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path), f"{variable}={given}")

    sentence = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert variable in sentence
    assert given in sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "given"), [("sse", "no"), ("database", "oracle"), ("license", "GPL")]
)
def test_a_replay_file_is_checked_like_a_person(
    tmp_path: Path, cookiecutter_home: Path, variable: str, given: str
) -> None:
    run(*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path / "first"))
    answers = json.loads((cookiecutter_home / f"{TEMPLATE.name}.json").read_text())
    answers["cookiecutter"][variable] = given
    replay = tmp_path / "answers.json"
    replay.write_text(json.dumps(answers))
    target = tmp_path / "second"

    done = run(*COOKIECUTTER, "--replay-file", str(replay), "--output-dir", str(target))

    assert done.returncode == 1
    assert done.stderr.startswith(f'{variable} is "{given}", but only ')
    assert list(target.iterdir()) == []


def test_a_folder_that_was_there_before_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "notes.txt").write_text("mine")

    done = run(
        *COOKIECUTTER,
        *("--no-input", "--overwrite-if-exists", "--output-dir", str(tmp_path)),
        "project_slug=class",
    )

    assert done.returncode == 1
    assert [path.name for path in (tmp_path / "class").iterdir()] == ["notes.txt"]
