"""The documentation page in a browser that reaches nothing but the service."""

import html
import subprocess
from pathlib import Path

import httpx
import pytest

from support.service import Service
from support.tools import require

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    *("--enable-logging=stderr", "--virtual-time-budget=30000", "--dump-dom"),
)


@pytest.mark.parametrize("path", ["/events/{topic}", "/export/items", "/export/users.csv"])
def test_a_stream_is_shown_with_its_bytes_and_the_command_that_follows_it(
    service: Service, tmp_path: Path, path: str
) -> None:
    operation = httpx.get(f"{service.url}/openapi.json").json()["paths"][path]["get"]
    (content,) = operation["responses"]["200"]["content"].values()
    *_, last_line = content["examples"]["wire"]["serializedValue"].strip().splitlines()
    place = f"/docs#/{operation['tags'][0]}/{operation['operationId']}"

    page = subprocess.run(
        [require("chromium"), *OPTIONS, f"--user-data-dir={tmp_path}", service.url + place],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    # The page may colour what it shows, word by word.
    shown = html.unescape("".join(part.partition(">")[2] for part in page.stdout.split("<")))
    assert f"curl -N http://127.0.0.1:8000{path.replace('{topic}', 'news')}" in shown
    assert last_line in shown
    assert "Content Security Policy" not in page.stderr
    assert "Uncaught" not in page.stderr
