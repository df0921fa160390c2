"""The pages in a real browser, offline and under the Content-Security-Policy."""

import subprocess
from pathlib import Path

import pytest

from support.service import Service
from support.tools import require

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--enable-logging=stderr",
    "--virtual-time-budget=30000",
    "--dump-dom",
)
"""A browser without a screen that finds nothing but this machine, and prints the page it made."""


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        pytest.param("/", "Download <code>items.ndjson</code>", id="console"),
        pytest.param("/docs", 'data-path="/export/users.csv"', id="docs"),
    ],
)
def test_a_page_works_in_a_browser_that_reaches_nothing_else(
    service: Service, tmp_path: Path, path: str, shown: str
) -> None:
    browser = require("chromium")

    page = subprocess.run(
        [browser, *OPTIONS, f"--user-data-dir={tmp_path}", service.url + path],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert shown in page.stdout
    assert "Content Security Policy" not in page.stderr
    assert "Uncaught" not in page.stderr
