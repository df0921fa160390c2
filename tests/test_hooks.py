"""The hooks as functions: what they accept, refuse, remove and say."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from jinja2 import Environment

import post_gen_project
import pre_gen_project
from support.static import imported
from support.tools import TEMPLATE

GOOD = {
    "project_name": "Streaming API",
    "project_slug": "streaming-api",
    "description": "Streams.",
    "author_name": "Ada",
    "sse": True,
    "ndjson": True,
    "csv": True,
    "request_id": True,
    "security_headers": True,
    "compression": True,
    "database": "sqlite",
    "event_broker": "memory",
    "license": "MIT",
    "__package_name": "streaming_api",
}

BAD = [
    pytest.param({"project_name": "two\nlines"}, ["two\\nlines", "one line"], id="line-break"),
    pytest.param({"project_name": "a\u2028b"}, ["one line"], id="line-separator"),
    pytest.param({"project_name": "  "}, ["visible"], id="blank-name"),
    pytest.param({"description": "a\rb"}, ["one line"], id="carriage-return"),
    pytest.param({"author_name": "a\x00b"}, ["one line"], id="nul"),
    pytest.param({"author_name": 7}, ["7", "one line"], id="no-text"),
    pytest.param({"project_slug": ""}, ["lower-case letters"], id="empty-slug"),
    pytest.param({"project_slug": "2fast"}, ["2fast", "lower-case letters"], id="digit-first"),
    pytest.param({"project_slug": "Upper"}, ["Upper", "lower-case letters"], id="upper-case"),
    pytest.param({"project_slug": "under_score"}, ["lower-case letters"], id="underscore"),
    pytest.param({"project_slug": "a--b"}, ["single hyphens"], id="two-hyphens"),
    pytest.param({"project_slug": "a-"}, ["single hyphens"], id="hyphen-last"),
    pytest.param({"project_slug": "../up"}, ["../up", "lower-case letters"], id="path"),
    pytest.param({"project_slug": "été"}, ["été", "lower-case letters"], id="accents"),
    pytest.param({"project_slug": "class"}, ["class", "keyword"], id="keyword"),
    pytest.param({"project_slug": "queue"}, ["queue", "standard library"], id="stdlib"),
    pytest.param({"project_slug": "telnetlib"}, ["standard library"], id="stdlib-until-3.12"),
    pytest.param({"project_slug": "annotationlib"}, ["standard library"], id="stdlib-from-3.14"),
    pytest.param({"project_slug": "fastapi"}, ["fastapi", "needs"], id="dependency"),
    pytest.param({"project_slug": "pydantic-settings"}, ["needs"], id="hyphenated-dependency"),
    pytest.param({"sse": "no"}, ["no", "true or false"], id="text-for-a-boolean"),
    pytest.param({"csv": 1}, ["1", "true or false"], id="number-for-a-boolean"),
    pytest.param({"compression": None}, ["null", "true or false"], id="null-for-a-boolean"),
    pytest.param({"database": "oracle"}, ["oracle", "sqlite, postgresql"], id="database"),
    pytest.param({"event_broker": "kafka"}, ["kafka", "memory, redis"], id="broker"),
    pytest.param({"license": "GPL"}, ["GPL", "MIT, Apache-2.0"], id="license"),
    pytest.param(
        {"sse": False, "ndjson": False, "csv": False}, ["ndjson", "csv", "at least one"], id="none"
    ),
]


def test_good_answers_pass_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    status = pre_gen_project.main(GOOD)

    assert status == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("answers", "words"), BAD)
def test_a_bad_answer_is_refused_in_one_sentence(
    capsys: pytest.CaptureFixture[str], answers: dict[str, object], words: list[str]
) -> None:
    status = pre_gen_project.main(GOOD | answers)

    out, sentence = capsys.readouterr()
    assert status == 1
    assert out == ""
    assert sentence.count("\n") == 1
    assert sentence.endswith(".\n")
    for word in [next(iter(answers)), *words]:
        assert word in sentence


@pytest.mark.parametrize(
    "text",
    ["L'été", '"quoted"', "back\\slash", "{{ 7*7 }}", "واجهة", "🎉", "'''", "#{% if %}"],
)
def test_any_text_of_one_line_is_accepted(text: str) -> None:
    answers = {"project_name": text, "description": text, "author_name": text}

    assert pre_gen_project.main(GOOD | answers) == 0


@pytest.mark.parametrize("slug", ["a", "streaming-api", "api2", "a-2-b", "match", "type"])
def test_a_slug_that_can_be_imported_is_accepted(slug: str) -> None:
    assert pre_gen_project.main(GOOD | {"project_slug": slug}) == 0


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder that holds every path of the table, and one file beside them."""
    folder = tmp_path / "with space"
    for paths in post_gen_project.PATHS.values():
        for path in paths:
            target = folder / path.format(package="streaming_api")
            if target.suffix:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            else:
                target.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").touch()
    monkeypatch.chdir(folder)
    return folder


def listed(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_nothing_chosen_is_removed(project: Path) -> None:
    before = listed(project)

    post_gen_project.main(GOOD | {"database": "postgresql"})

    several_processes = {
        "docs/replicas.md",
        "src/streaming_api/events/redis.py",
        "tests/events/redis_server.py",
        "tests/events/test_redis.py",
    }
    assert before - listed(project) == several_processes


def test_what_was_not_chosen_is_removed_whole(project: Path) -> None:
    off = {"ndjson": False, "csv": False, "request_id": False, "security_headers": False}

    post_gen_project.main(GOOD | off)

    left = {path for path in listed(project) if (project / path).is_file()}
    assert left == {
        "README.md",
        "src/streaming_api/client/position.py",
        "src/streaming_api/client/tail.py",
        "src/streaming_api/events/memory.py",
        "src/streaming_api/streaming/lines.py",
        "tests/client/test_position.py",
        "tests/client/test_tail.py",
        "tests/events/test_memory.py",
        "tests/streaming/test_lines.py",
    }


def test_running_twice_changes_nothing_more(project: Path) -> None:
    post_gen_project.main(GOOD | {"sse": False})
    once = listed(project)

    post_gen_project.main(GOOD | {"sse": False})

    assert listed(project) == once


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ({}, False),
        ({"event_broker": "redis"}, True),
        ({"event_broker": "redis", "sse": False}, False),
        ({"database": "postgresql"}, True),
        ({"database": "postgresql", "ndjson": False}, True),
        ({"database": "postgresql", "ndjson": False, "csv": False}, False),
    ],
)
def test_compose_is_there_for_a_server_that_is_needed(
    answers: dict[str, object], *, kept: bool
) -> None:
    unchosen = post_gen_project.unchosen(GOOD | answers)

    assert (Path("compose.yaml") not in unchosen) is kept


def test_every_choice_of_the_table_is_decided_by_the_answers() -> None:
    assert post_gen_project.PATHS.keys() == post_gen_project.made(GOOD).keys()


def test_every_path_of_the_table_is_in_the_template() -> None:
    root = TEMPLATE / "{{cookiecutter.project_slug}}"
    package = "{{cookiecutter.__package_name}}"

    missing = [
        path
        for paths in post_gen_project.PATHS.values()
        for path in paths
        if not (root / path.format(package=package)).exists()
    ]

    assert missing == []


def test_the_last_lines_say_where_it_is_how_to_run_and_how_to_test(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    post_gen_project.main(GOOD)

    where, run, test = capsys.readouterr().out.splitlines()
    assert where.endswith(str(project))
    assert shlex.split(run.split(":", 1)[1]) == [
        *("cd", str(project), "&&"),
        *("uv", "run", "streaming-api", "serve"),
    ]
    assert shlex.split(test.split(":", 1)[1]) == ["cd", str(project), "&&", "uv", "run", "pytest"]


def test_the_hooks_read_hostile_answers_back_unchanged() -> None:
    hostile = GOOD | {"project_name": "''' \"\"\" \\ \\' {{ 7*7 }} </script> 🎉 \u202eواجهة"}

    for name in ("pre_gen_project", "post_gen_project"):
        source = (TEMPLATE / "hooks" / f"{name}.py").read_text(encoding="utf-8")
        literal = source[source.index("r'''") : source.rindex("'''") + 3]
        rendered = Environment(autoescape=False).from_string(literal).render(cookiecutter=hostile)  # noqa: S701
        assert json.loads(eval(rendered)) == hostile  # noqa: S307


def test_the_hooks_need_the_standard_library_only_and_no_network() -> None:
    modules = imported(TEMPLATE / "hooks")

    assert modules <= sys.stdlib_module_names
    assert not modules & {"http", "socket", "ssl", "subprocess", "urllib"}
