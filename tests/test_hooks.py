"""The hooks as functions: what they accept, reject, remove, keep and print."""

import ast
import json
import random
import shlex
import string
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context

import post_gen_project
import pre_gen_project
from support.answers import DEFAULT, DERIVED, SMALLEST
from support.names import imports
from support.tools import TEMPLATE

HOOKS = ("pre_gen_project", "post_gen_project")


def context(**answers: object) -> dict[str, Any]:
    """Return the answers and derived variables that cookiecutter gives to the hooks."""
    read = generate_context(str(TEMPLATE / "cookiecutter.json"), extra_context=answers)
    return json.loads(json.dumps(prompt_for_config(read, no_input=True)))  # type: ignore[no-any-return]


GOOD = context()

BAD = [
    pytest.param({"project_name": "two\nlines"}, ["two\\nlines", "one line"], id="line-break"),
    pytest.param({"project_name": "a\u2028b"}, ["one line"], id="line-separator"),
    pytest.param({"project_name": "  "}, ["visible"], id="blank-name"),
    pytest.param({"description": "a\rb"}, ["one line"], id="carriage-return"),
    pytest.param({"author_name": "a\x00b"}, ["one line"], id="nul"),
    pytest.param({"author_name": 7}, ["=7:", "one line"], id="number-for-text"),
    pytest.param({"project_slug": ""}, ["lower-case", "streaming-api"], id="empty-slug"),
    pytest.param({"project_slug": "My App"}, ["'My App'", "my-app"], id="spaced-slug"),
    pytest.param({"project_slug": "2fast"}, ["2fast", "example fast"], id="digit-first"),
    pytest.param({"project_slug": "Upper"}, ["Upper", "example upper"], id="upper-case"),
    pytest.param({"project_slug": "under_score"}, ["example under-score"], id="underscore"),
    pytest.param({"project_slug": "a--b"}, ["single hyphens", "example a-b"], id="two-hyphens"),
    pytest.param({"project_slug": "a-"}, ["single hyphens"], id="hyphen-last"),
    pytest.param({"project_slug": "../up"}, ["../up", "example up"], id="path"),
    pytest.param({"project_slug": "été"}, ["été", "example ete"], id="accents"),
    pytest.param({"project_slug": "class"}, ["keyword", "class-api"], id="keyword"),
    pytest.param({"project_slug": "queue"}, ["standard library", "queue-api"], id="module"),
    pytest.param({"project_slug": "asyncore"}, ["standard library"], id="removed-module"),
    pytest.param({"project_slug": "profiling"}, ["standard library"], id="new-module"),
    pytest.param({"project_slug": "fastapi"}, ["dependencies"], id="dependency"),
    pytest.param({"project_slug": "pydantic-settings"}, ["dependencies"], id="hyphenated"),
    pytest.param({"project_slug": "async-timeout"}, ["dependencies"], id="of-one-python"),
    pytest.param({"project_slug": "colorama"}, ["dependencies"], id="of-one-platform"),
    pytest.param({"project_slug": "email-validator"}, ["dependencies"], id="optional-import"),
    pytest.param({"project_slug": "dmypy"}, ["dependencies"], id="command"),
    pytest.param({"project_slug": "pygmentize"}, ["dependencies"], id="command-of-dependency"),
    pytest.param({"project_slug": "activate"}, ["virtual environment"], id="activate"),
    pytest.param({"project_slug": "dist"}, ["ignore", "dist-api"], id="ignored-folder"),
    pytest.param({"project_slug": "node-modules"}, ["ignore"], id="ignored-package"),
    pytest.param({"project_slug": "con"}, ["Windows", "con-api"], id="device"),
    pytest.param({"project_slug": "lpt1"}, ["Windows"], id="numbered-device"),
    pytest.param({"project_slug": "tests"}, ["of the project"], id="own-folder"),
    pytest.param({"project_slug": "uv"}, ["command"], id="uv"),
    pytest.param({"project_slug": "a" * 240}, ["at most 63", "a" * 63], id="long-slug"),
    pytest.param({"sse": "no"}, ["'no'", "boolean"], id="text-for-a-boolean"),
    pytest.param({"csv": 1}, ["=1:", "boolean"], id="number-for-a-boolean"),
    pytest.param({"client": None}, ["None", "boolean"], id="null-for-a-boolean"),
    pytest.param({"database": "oracle"}, ["oracle", "sqlite or postgresql"], id="database"),
    pytest.param({"event_broker": "kafka"}, ["kafka", "memory or redis"], id="broker"),
    pytest.param({"auth": "basic"}, ["basic", "tokens or none"], id="auth"),
    pytest.param({"license": "GPL"}, ["GPL", "MIT, Apache-2.0"], id="license"),
    pytest.param(
        {"sse": False, "ndjson": False, "csv": False}, ["ndjson", "at least one"], id="no-format"
    ),
    pytest.param({"__package_name": "other"}, ["replay file"], id="edited-package"),
    pytest.param({"project_name": "Other"}, ["replay file"], id="edited-name"),
    pytest.param({"console": False}, ["replay file"], id="edited-choice"),
    pytest.param({"__uses": GOOD["__uses"] | {"redis": "yes"}}, ["replay file"], id="edited-use"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter an empty folder, which the hooks take for the project's."""
    path = tmp_path / "with space"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def listed(folder: Path) -> set[str]:
    """List the files and folders in a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def render(folder: Path, *, skip: bool = False) -> None:
    """Write every path of the table as cookiecutter does, or without those that exist."""
    paths = [path for paths in pre_gen_project.PATHS.values() for path in paths]
    for path in ["README.md", "src/{package}/__init__.py", *sorted(paths, key=len, reverse=True)]:
        target = folder / path.format(package="streaming_api")
        if "." not in target.name:
            target /= "part.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (skip and target.exists()):
            target.write_text("of the template\n")
    module = folder / "src" / "streaming_api" / "__init__.py"
    if module.read_text() == "of the template\n":
        source = TEMPLATE / "{{cookiecutter.project_slug}}/src/{{cookiecutter.__package_name}}"
        module.write_text((source / "__init__.py").read_text(encoding="utf-8"))


def generate(folder: Path, *, skip: bool = False, hooks: bool = True, **answers: object) -> None:
    """Run the hooks as cookiecutter does, and write every path of the table between them."""
    given = context(**answers)
    if hooks:
        assert pre_gen_project.main(given) == 0
    render(folder, skip=skip)
    if hooks:
        post_gen_project.main(given)


def test_hook_valid_answers_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status = pre_gen_project.main(GOOD)

    assert status == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("answers", "words"), BAD)
def test_hook_invalid_answer_prints_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    answers: dict[str, object],
    words: list[str],
) -> None:
    status = pre_gen_project.main(GOOD | answers)

    out, line = capsys.readouterr()
    name = "__fingerprint" if words == ["replay file"] else next(iter(answers))
    assert status == 1
    assert out == ""
    assert line.count("\n") == 1
    assert line.startswith(f"Invalid {name}")
    assert ": expected " in line
    for word in words:
        assert word in line
    assert listed(folder) == set()


@pytest.mark.parametrize(
    "text",
    ["L'été", '"quoted"', "back\\slash", "{{ 7*7 }}", "واجهة", "🎉", "'''", "#{% if %}"],
)
def test_hook_text_of_one_line_is_accepted(text: str) -> None:
    for name in pre_gen_project.TEXTS:
        pre_gen_project.check_text(name, text)


@pytest.mark.parametrize("slug", ["a", "streaming-api", "api2", "a-2-b", "match", "type", "a" * 63])
def test_slug_importable_is_accepted(slug: str) -> None:
    assert pre_gen_project.slug_problem(slug) == ""


def test_slug_taken_suggests_an_accepted_one() -> None:
    for names in pre_gen_project.TAKEN.values():
        for package in names:
            slug = package.lower().replace("_", "-")

            assert pre_gen_project.slug_problem(slug) or package != package.lower()
            assert not pre_gen_project.slug_problem(pre_gen_project.suggested_slug(slug))
            assert pre_gen_project.suggested_slug(slug).startswith(slug)


def test_slug_malformed_suggests_an_accepted_one() -> None:
    chance = random.Random(1)
    letters = string.printable + "éßñ流ﬁ🎉\ud800"
    for _ in range(2000):
        slug = "".join(chance.choices(letters, k=chance.randrange(100)))

        assert not pre_gen_project.slug_problem(pre_gen_project.suggested_slug(slug)), slug


def test_fingerprint_is_computed_as_cookiecutter_does() -> None:
    answers = context(project_name="L'été \\ 🎉 <b>&amp;", csv=False, project_slug="feed")

    assert answers["__fingerprint"] == pre_gen_project.fingerprint(answers)
    assert answers["__fingerprint"] != GOOD["__fingerprint"]


def test_fingerprint_older_uses_are_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    older = GOOD | {"__uses": {name: GOOD["__uses"][name] for name in ("sse", "ndjson", "csv")}}
    older["__fingerprint"] = pre_gen_project.fingerprint(older)

    status = pre_gen_project.main(older)

    assert status == 1
    assert "replay file" in capsys.readouterr().err


@pytest.mark.parametrize("version", [(3, 7, 0), (3, 9, 2), (3, 10, 18)])
def test_hook_old_python_prints_one_line(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]
) -> None:
    source = (TEMPLATE / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    monkeypatch.setattr(sys, "version_info", version)

    with pytest.raises(SystemExit, match=rf"^Invalid Python='3\.{version[1]}': expected 3\.11"):
        exec(compile(tree, "pre_gen_project.py", "exec"), {"__name__": "__main__"})  # noqa: S102


def test_paths_use_the_names_of_the_prompt_file() -> None:
    assert pre_gen_project.USES == GOOD["__uses"].keys() == DERIVED.keys() - {"__exports"}


def test_paths_exist_in_the_template() -> None:
    root = TEMPLATE / "{{cookiecutter.project_slug}}"
    package = "{{cookiecutter.__package_name}}"

    missing = [
        path
        for paths in pre_gen_project.PATHS.values()
        for path in paths
        if not (root / path.format(package=package)).exists()
    ]

    assert missing == []


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ({}, False),
        ({"event_broker": "redis"}, True),
        ({"event_broker": "redis", "sse": False}, False),
        ({"event_broker": "redis", "deployment": False}, False),
        ({"database": "postgresql"}, True),
        ({"database": "postgresql", "ndjson": False}, True),
        ({"database": "postgresql", "ndjson": False, "csv": False}, False),
    ],
)
def test_path_of_two_uses_needs_both(answers: dict[str, object], *, kept: bool) -> None:
    left_out = pre_gen_project.left_out(context(**answers))

    assert (Path("compose.yaml") not in left_out) is kept


@pytest.mark.parametrize("answers", [DEFAULT, SMALLEST], ids=["default", "smallest"])
def test_paths_left_out_are_removed(folder: Path, answers: dict[str, Any]) -> None:
    generate(folder, **answers)

    left_out = pre_gen_project.left_out(context(**answers))
    render(folder / "other")
    expected = {
        path
        for path in listed(folder / "other")
        if not any(Path(path).is_relative_to(each) for each in left_out)
    }
    assert {path for path in listed(folder) if not path.startswith("other")} == expected


def test_hooks_run_twice_change_nothing_more(folder: Path) -> None:
    generate(folder, sse=False)
    once = listed(folder)

    post_gen_project.main(context(sse=False))

    assert listed(folder) == once


@pytest.mark.parametrize("skip", [False, True], ids=["overwrite", "skip"])
def test_files_of_the_user_are_kept(folder: Path, *, skip: bool) -> None:
    own = ["compose.yaml", "deploy/own/site.conf", "src/streaming_api/streaming/events/own.py"]
    for path in own:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("own")
    (folder / "docs").mkdir()
    (folder / "docs" / "replicas.md").symlink_to("../compose.yaml")

    generate(folder, skip=skip, deployment=False, sse=False)

    assert [(folder / path).read_text() for path in own] == ["own"] * len(own)
    assert (folder / "docs" / "replicas.md").is_symlink()
    assert [path.name for path in (folder / "deploy").iterdir()] == ["own"]
    assert not (folder / ".cookiecutter").exists()


def test_files_of_a_larger_project_are_kept(folder: Path) -> None:
    generate(folder, event_broker="redis")
    before = listed(folder)

    generate(folder, skip=True, sse=False, deployment=False, ndjson=False, auth="none")

    assert before <= listed(folder)


@pytest.mark.parametrize("skip", [False, True], ids=["overwrite", "skip"])
def test_project_without_hooks_is_completed(folder: Path, *, skip: bool) -> None:
    generate(folder / "fresh", hooks=False)
    generate(folder, hooks=False)
    (folder / "compose.yaml").write_text("own")

    generate(folder, skip=skip)

    assert (folder / "compose.yaml").read_text() == "own"
    assert not (folder / "docs" / "replicas.md").exists()
    assert "SystemExit" not in (folder / "src" / "streaming_api" / "__init__.py").read_text()
    assert "SystemExit" in (folder / "fresh/src/streaming_api/__init__.py").read_text()


def test_run_interrupted_before_is_reported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "compose.yaml").write_text("own")
    assert pre_gen_project.main(GOOD) == 0

    status = pre_gen_project.main(GOOD)

    assert status == 1
    assert capsys.readouterr().err.startswith("Invalid folder='.cookiecutter': expected none;")
    assert (folder / ".cookiecutter" / "kept" / "compose.yaml").read_text() == "own"


def test_next_steps_are_the_last_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate(folder)

    where, run, test = capsys.readouterr().out.splitlines()
    assert where.endswith(str(folder))
    assert shlex.split(run.split(":", 1)[1]) == [
        *("cd", str(folder), "&&"),
        *("uv", "run", "streaming-api", "serve"),
    ]
    assert shlex.split(test.split(":", 1)[1]) == ["cd", str(folder), "&&", "uv", "run", "pytest"]


@pytest.fixture
def updated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder as `cruft update` generates in, for a project of 2020; the project."""
    project = folder / "project"
    temporary = folder / "tmp1a2b3c4d" / "streaming-api"
    temporary.mkdir(parents=True)
    project.mkdir()
    (project / "LICENSE").write_text("MIT License\n\nCopyright (c) 2020 Ada\n")
    record = {"context": {"cookiecutter": GOOD | {"_template": "T", "_commit": "1"}}}
    (project / ".cruft.json").write_text(json.dumps(record))
    render(temporary)
    (temporary / "LICENSE").write_text("MIT License\n\nCopyright (c) 2031 Ada\n")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("PWD", str(project))
    monkeypatch.chdir(temporary)
    return project


@pytest.mark.parametrize(
    ("answers", "printed"),
    [
        ({"_template": "T", "_commit": "1"}, False),
        ({"_template": "T", "_commit": "2"}, True),
        ({"_template": "T", "_commit": "1", "sse": False}, True),
        ({"_template": "another", "_commit": "2"}, False),
    ],
    ids=["recorded", "newer", "other-answers", "another-project"],
)
def test_next_steps_of_an_update_name_the_project(
    updated: Path, capsys: pytest.CaptureFixture[str], answers: dict[str, object], *, printed: bool
) -> None:
    post_gen_project.main(GOOD | answers)

    out = capsys.readouterr().out
    assert "tmp1a2b3c4d" not in out
    assert (f"Created:  {updated}\n" in out) is printed


def test_next_steps_of_an_unknown_project_are_omitted(
    updated: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", str(updated.parent))

    post_gen_project.main(GOOD | {"_template": "T", "_commit": "2"})

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Copyright (c) 2031 Ada", "Copyright (c) 2020 Ada"),
        ("Copyright (c) 2031, Ada 2031", "Copyright (c) 2020, Ada 2031"),
        ("   Copyright 2031 Ada", "   Copyright 2020 Ada"),
    ],
)
@pytest.mark.usefixtures("updated")
def test_year_of_an_update_stays_the_project_s(line: str, expected: str) -> None:
    Path("LICENSE").write_text(f"A license\n\n{line}\n")

    post_gen_project.main(GOOD | {"_template": "T", "_commit": "2"})

    assert Path("LICENSE").read_text() == f"A license\n\n{expected}\n"


def test_hooks_agree_on_what_they_share() -> None:
    module = TEMPLATE / "{{cookiecutter.project_slug}}/src/{{cookiecutter.__package_name}}"

    assert pre_gen_project.WORK == post_gen_project.WORK
    assert pre_gen_project.INCOMPLETE == post_gen_project.INCOMPLETE
    assert pre_gen_project.INCOMPLETE in (module / "__init__.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", HOOKS)
def test_hook_hostile_answers_are_read_unchanged(name: str) -> None:
    hostile = GOOD | {"project_name": "''' \"\"\" \\ \\' {{ 7*7 }} </script> 🎉 \u202eواجهة"}
    source = (TEMPLATE / "hooks" / f"{name}.py").read_text(encoding="utf-8")
    environment = create_env_with_context({"cookiecutter": hostile})

    rendered = environment.from_string(source).render(cookiecutter=hostile)

    statement = ast.parse(rendered).body[-1]
    strings = [node.value for node in ast.walk(statement) if isinstance(node, ast.Constant)]
    assert json.loads(max(map(str, strings), key=len)) == hostile


@pytest.mark.parametrize("name", HOOKS)
def test_hook_imports_the_standard_library_only(name: str) -> None:
    source = (TEMPLATE / "hooks" / f"{name}.py").read_text(encoding="utf-8")

    modules = set(imports(ast.parse(source).body))

    assert modules <= sys.stdlib_module_names
    assert not modules & {"http", "socket", "ssl", "subprocess", "urllib"}
