#{% if cookiecutter.__uses.sse and cookiecutter.__uses.exports %}
"""The client commands `tail`, `publish` and `export`, with a running service."""
#{% elif cookiecutter.__uses.sse %}
"""The client commands `tail` and `publish`, with a running service."""
#{% else %}
"""The client command `export`, with a running service."""
#{% endif %}

#{% if cookiecutter.__uses.sse %}
import json
from itertools import islice
#{% endif %}
from pathlib import Path

import httpx2
#{% if cookiecutter.__uses.exports or cookiecutter.__uses.tokens %}
import pytest
#{% endif %}
from typer.testing import CliRunner

from {{ cookiecutter.__package_name }}.cli import cli
#{% if cookiecutter.__uses.exports %}
from {{ cookiecutter.__package_name }}.exports import EXPORTS
#{% endif %}
#{% if cookiecutter.__uses.exports and cookiecutter.__uses.tokens %}
from {{ cookiecutter.__package_name }}.streaming import Export, Scope
#{% elif cookiecutter.__uses.exports %}
from {{ cookiecutter.__package_name }}.streaming import Export
#{% elif cookiecutter.__uses.tokens %}
from {{ cookiecutter.__package_name }}.streaming import Scope
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from {{ cookiecutter.__package_name }}.streaming.exports.routes import FORMATS
#{% endif %}
#{% if cookiecutter.__uses.sse %}


def test_publish_prints_id_of_event(server: str) -> None:
    command = ["publish", "news", '{"n": 1}', "--event", "tick", "--url", server]

    result = CliRunner().invoke(cli, command)

    with (
        httpx2.Client(base_url=server, timeout=30) as client,
        client.sse("/events/news?last_event_id=earliest") as source,
    ):
        _, event = islice(source, 2)
    assert result.exit_code == 0
    assert result.stdout == f"{event.id}\n"
    assert (event.event, event.json()) == ("tick", {"n": 1})


def test_publish_invalid_json_exits_with_one_line() -> None:
    result = CliRunner().invoke(cli, ["publish", "news", "{"])

    assert result.stderr.startswith("Invalid DATA='{': ")
    assert result.stderr.count("\n") == 1
    assert result.exit_code == 1


def test_tail_prints_events_until_topic_is_finished(server: str) -> None:
    topic = httpx2.post(f"{server}/runs", json={"steps": 2, "interval": 0}).json()["topic"]
    command = ["tail", topic, "--after", "earliest", "--state", "state", "--url", server]

    result = CliRunner().invoke(cli, command)

    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert events[-1]["event"] == "done"
    assert events[-1]["data"] == {"done": True, "status": "done"}
    assert Path("state").read_text() == f"{events[-1]['id']}\n"
#{% endif %}
#{% if cookiecutter.__uses.exports %}


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_export_writes_complete_file_in_every_format(server: str, export: Export) -> None:
    for file_format in FORMATS:
        file = f"{export.name}.{file_format.extension}"

        result = CliRunner().invoke(cli, ["export", export.name, file, "--url", server])

        response = httpx2.get(f"{server}/export/{file}", timeout=30)
        assert result.exit_code == 0
        assert Path(file).read_bytes() == response.content


def test_export_of_unknown_table_exits_with_one_line() -> None:
    result = CliRunner().invoke(cli, ["export", "nowhere", "file"])

    assert result.stderr.startswith("Invalid NAME='nowhere': ")
    assert result.stderr.count("\n") == 1
    assert result.exit_code == 1
#{% endif %}
#{% if cookiecutter.__uses.tokens %}


@pytest.mark.parametrize("settings", [{"api_tokens": {"secret": list(Scope)}}], indirect=True)
def test_commands_send_token_of_settings(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
#{% if cookiecutter.__uses.sse %}
    command = ["publish", "news", "1", "--url", server]
#{% else %}
    command = ["export", EXPORTS[0].name, "file", "--url", server]
#{% endif %}

    denied = CliRunner().invoke(cli, command)
    monkeypatch.setenv("API_TOKEN", "secret")
    allowed = CliRunner().invoke(cli, command)

    assert (denied.exit_code, allowed.exit_code) == (1, 0)
    assert denied.stderr.startswith("401 ")
#{% endif %}
