"""Tokens are read from a setting, found by their hash, and printed by a command."""

import json
import logging
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from {{ cookiecutter.__package_name }}.access.tokens import (
    B64TOKEN,
    Scope,
    find,
    new_token,
    parse_tokens,
    setting,
)
from {{ cookiecutter.__package_name }}.cli import cli
from {{ cookiecutter.__package_name }}.main import create_app
from {{ cookiecutter.__package_name }}.settings import Settings, load_settings

DIGITS = sha256(b"secret").hexdigest()
HASH = f"sha256:{DIGITS}"


@pytest.mark.parametrize("name", ["secret", HASH])
def test_a_token_is_kept_by_its_hash_however_it_is_given(name: str) -> None:
    tokens = parse_tokens(json.dumps({name: ["events", "export"]}))

    assert tokens == {HASH: {Scope.EVENTS, Scope.EXPORT}}
    assert find(tokens, "secret") == HASH


@pytest.mark.parametrize("nothing", ["", "{}"])
def test_there_may_be_no_tokens(nothing: str) -> None:
    assert parse_tokens(nothing) == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{secret", "it is no JSON, from character 2 on"),
        ('["secret"]', "accepted is an object"),
        ('"secret"', "accepted is an object"),
        ('{"secret": ["events"], "secret": []}', "a token is there twice"),
        ('{"secret": "events"}', "token 1 has other scopes than a list of events, publish, export"),
        ('{"secret": {"events": 1}}', "token 1 has other scopes"),
        (json.dumps({"secret": [], HASH: []}), "a token is there twice"),
        ('{"one": [], "secret": ["all"]}', "token 2 has other scopes"),
        ('{"secret": 1}', "token 1 has other scopes"),
        ('{"secret of mine": []}', "a token is letters, digits and any of"),
        ('{"": []}', "a token is letters"),
        (json.dumps({f"sha256:{DIGITS[1:]}": []}), "a token is letters"),
        (json.dumps({f"sha256:{DIGITS.upper()}": []}), "a token is letters"),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str, said: str
) -> None:
    monkeypatch.setenv("API_TOKENS", wrong)

    with pytest.raises(SystemExit):
        load_settings()

    line = capsys.readouterr().err
    assert line.startswith(f"API_TOKENS=*** is not accepted: {said}")
    assert line.count("\n") == 1
    assert "secret" not in line


@given(st.text())
def test_no_text_is_taken_for_a_token_that_it_is_not(text: str) -> None:
    tokens = parse_tokens({"secret": ["events"]})

    assert (find(tokens, text) is not None) is (text == "secret")


def test_a_hash_is_no_token() -> None:
    tokens = parse_tokens({HASH: ["events"]})

    assert find(tokens, DIGITS) is None
    assert find(tokens, HASH) is None


def test_new_tokens_differ_and_can_follow_bearer() -> None:
    made = {new_token() for _ in range(100)}

    assert len(made) == 100
    assert all(map(B64TOKEN.fullmatch, made))


def test_the_line_of_the_setting_is_read_back_from_a_file() -> None:
    tokens = parse_tokens({"one": ["export"], "two": ["publish", "events"]})

    Path(".env").write_text(setting(tokens) + "\n")

    assert load_settings().api_tokens == tokens


def test_the_command_prints_a_token_and_a_line_that_lets_it_in_beside_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_TOKENS", '{"old": ["export"]}')

    result = CliRunner().invoke(cli, ["token", "events", "publish"])

    token, line = result.stdout.splitlines()
    tokens = parse_tokens(line.removeprefix("API_TOKENS="))
    assert result.exit_code == 0
    assert tokens[find(tokens, token) or ""] == {Scope.EVENTS, Scope.PUBLISH}
    assert tokens[find(tokens, "old") or ""] == {Scope.EXPORT}
    assert token not in line


@pytest.mark.parametrize("arguments", [["token"], ["token", "everything"]])
def test_the_command_makes_no_token_for_nothing(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)

    assert result.exit_code == 2
    assert result.stdout == ""


def test_settings_show_no_token() -> None:
    settings = Settings(
        api_tokens=parse_tokens({"secret": ["events"]}), session_secret=SecretStr("sign")
    )

    assert "secret" not in repr(settings).replace("session_secret", "")
    assert DIGITS not in repr(settings)
    assert "sign'" not in repr(settings)


@pytest.mark.parametrize("token", ["secret", "mistaken"])
def test_no_token_is_logged_or_answered(token: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app = create_app(Settings(api_tokens=parse_tokens({"secret": ["events"]})))
    client = TestClient(app, headers={"Authorization": f"Bearer {token}"})

    answers = [client.get("/session"), client.post("/session"), client.get("/nowhere")]

    assert caplog.records
    assert token not in caplog.text
    for answer in answers:
        assert token not in answer.text + str(answer.headers)


@pytest.mark.parametrize(("given", "token"), [("", None), ("secret", "secret")])
def test_a_client_has_a_token_or_none(
    monkeypatch: pytest.MonkeyPatch, given: str, token: str | None
) -> None:
    monkeypatch.setenv("API_TOKEN", given)

    kept = load_settings().api_token

    assert (kept and kept.get_secret_value()) == token


@pytest.mark.parametrize("wrong", ["secret\nx", "secr\u00e9t", "two words"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    monkeypatch.setenv("API_TOKEN", wrong)

    with pytest.raises(SystemExit):
        load_settings()

    assert capsys.readouterr().err.startswith("API_TOKEN=*** is not accepted: a token is letters")


def test_a_wrong_setting_in_code_shows_no_token() -> None:
    with pytest.raises(ValidationError) as error:
        Settings(api_tokens="{secret")  # type: ignore[arg-type]

    assert "secret" not in str(error.value)
