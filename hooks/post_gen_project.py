"""Remove what was not chosen, then say where the project is, how to run it and how to test it."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

Answers = dict[str, Any]

PATHS = {
    "sse": [
        "src/{package}/client/position.py",
        "src/{package}/client/tail.py",
        "src/{package}/console/static/events",
        "src/{package}/events",
        "tests/client/test_position.py",
        "tests/client/test_tail.py",
        "tests/events",
    ],
    "memory": ["src/{package}/events/memory.py", "tests/events/test_memory.py"],
    "redis": [
        "src/{package}/events/redis.py",
        "tests/events/redis_server.py",
        "tests/events/test_redis.py",
    ],
    "exports": [
        "src/{package}/client/download.py",
        "src/{package}/client/formats.py",
        "src/{package}/console/static/exports",
        "src/{package}/exports",
        "tests/client/test_download.py",
        "tests/client/test_formats.py",
        "tests/exports",
    ],
    "ndjson": [
        "src/{package}/console/static/exports/ndjson.js",
        "src/{package}/exports/items.py",
        "src/{package}/exports/ndjson.py",
        "tests/exports/test_items.py",
        "tests/exports/test_ndjson.py",
    ],
    "lines": ["src/{package}/streaming/lines.py", "tests/streaming/test_lines.py"],
    "csv": [
        "src/{package}/console/static/exports/csv.js",
        "src/{package}/exports/csv.py",
        "src/{package}/exports/users.py",
        "tests/exports/test_csv.py",
        "tests/exports/test_users.py",
    ],
    "postgresql": ["tests/postgresql.py"],
    "compression": [
        "src/{package}/exports/compression.py",
        "tests/exports/test_compression.py",
    ],
    "middleware": ["src/{package}/middleware"],
    "request_id": ["src/{package}/middleware/request_id.py", "tests/test_request_id.py"],
    "security_headers": [
        "src/{package}/middleware/security_headers.py",
        "tests/test_security_headers.py",
    ],
    "servers": ["compose.yaml"],
    "replicas": ["docs/replicas.md"],
}
"""The paths that exist only when a choice was made."""


def made(answers: Answers) -> dict[str, bool]:
    """Tell for every choice of the table whether the answers make it."""
    exports = answers["ndjson"] or answers["csv"]
    postgresql = exports and answers["database"] == "postgresql"
    redis = answers["sse"] and answers["event_broker"] == "redis"
    return {
        "sse": answers["sse"],
        "memory": answers["sse"] and not redis,
        "redis": redis,
        "exports": exports,
        "ndjson": answers["ndjson"],
        "lines": answers["sse"] or answers["ndjson"],
        "csv": answers["csv"],
        "postgresql": postgresql,
        "compression": exports and answers["compression"],
        "middleware": answers["request_id"] or answers["security_headers"],
        "request_id": answers["request_id"],
        "security_headers": answers["security_headers"],
        "servers": redis or postgresql,
        "replicas": redis or (postgresql and not answers["sse"]),
    }


def unchosen(answers: Answers) -> list[Path]:
    """List the paths, relative to the project, that the answers leave out."""
    choices = made(answers)
    package = answers["__package_name"]
    return [
        Path(path.format(package=package))
        for choice, paths in PATHS.items()
        if not choices[choice]
        for path in paths
    ]


def remove(path: Path) -> None:
    """Remove a file or a folder; what is gone already stays gone."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def farewell(project: Path, slug: str) -> str:
    """Say in three lines where the project is, how to run it and how to test it."""
    enter = f"cd {shlex.quote(str(project))}"
    return (
        f"Created:  {project}\n"
        f"Run it:   {enter} && uv run {slug} serve\n"
        f"Test it:  {enter} && uv run pytest"
    )


def main(answers: Answers) -> None:
    """Finish the project in the current directory."""
    project = Path.cwd()
    for path in unchosen(answers):
        remove(project / path)
    encoding = sys.stdout.encoding  # of a console that may lack the letters of the path
    words = farewell(project, answers["project_slug"]).encode(encoding, "backslashreplace")
    print(words.decode(encoding))


if __name__ == "__main__":
    main(json.loads(r'''{{ cookiecutter | tojson }}'''))  # fmt: skip
