"""API tokens: read from a setting, found by their hash, never shown."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from streaming_api.settings import Settings, load_settings
from streaming_api.streaming.access.tokens import Scope, find_token, parse_tokens

DIGITS = sha256(b"secret").hexdigest()
HASH = f"sha256:{DIGITS}"
SCOPE = next(iter(Scope))
LETTERS = "tokens of letters, digits and -._~+/, or sha256: and 64 hexadecimal digits"


@pytest.mark.parametrize("name", ["secret", HASH])
def test_token_is_kept_by_hash(name: str) -> None:
    tokens = parse_tokens(json.dumps({name: ["scope"]}))

    assert tokens == {HASH: ["scope"]}


@pytest.mark.parametrize("value", ["", "{}", {}])
def test_setting_without_tokens_is_empty(value: object) -> None:
    assert parse_tokens(value) == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{secret", "JSON; the error is at character 2"),
        pytest.param('{"secret":' * 100_000, "an object like ", id="nested"),
        ('["secret"]', 'an object like {"TOKEN": ["SCOPE"]}'),
        ('"secret"', 'an object like {"TOKEN": ["SCOPE"]}'),
        ('{"secret": [], "secret": []}', "each token once"),
        (json.dumps({"secret": [], HASH: []}), "each token once"),
        ('{"one": [], "secret": ["all"]}', f"'{SCOPE}'"),
        ('{"secret": "events"}', "a "),
        ('{"secret": {"events": 1}}', "a "),
        ('{"secret": 1}', "a "),
        ('{"secret of mine": []}', LETTERS),
        ('{"": []}', LETTERS),
        (json.dumps({f"sha256:{DIGITS[1:]}": []}), LETTERS),
        (json.dumps({f"sha256:{DIGITS.upper()}": []}), LETTERS),
    ],
)
def test_invalid_tokens_stop_start_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str, expected: str
) -> None:
    monkeypatch.setenv("API_TOKENS", value)

    with pytest.raises(SystemExit):
        load_settings()

    message = capsys.readouterr().err
    assert message.startswith(f"Invalid API_TOKENS=***: expected {expected}")
    assert message.count("\n") == 1
    assert "secret" not in message
    assert DIGITS[1:] not in message.lower()


@given(st.text())
def test_only_the_token_is_found(text: str) -> None:
    tokens = {HASH: frozenset({SCOPE})}

    assert find_token(tokens, text) == (HASH if text == "secret" else None)
    assert find_token(tokens, "secret") == HASH


@pytest.mark.parametrize("text", [DIGITS, HASH])
def test_hash_is_no_token(text: str) -> None:
    assert find_token({HASH: frozenset({SCOPE})}, text) is None


def test_settings_show_no_secrets() -> None:
    secret = SecretStr("hunter2" * 5)
    settings = Settings(api_tokens={HASH: frozenset()}, session_secret=secret)

    assert DIGITS not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_validation_error_shows_no_token() -> None:
    with pytest.raises(ValidationError) as error:
        Settings(api_tokens="{secret")  # type: ignore[arg-type]

    assert "secret" not in str(error.value)
