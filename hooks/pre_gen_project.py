"""Reject invalid answers before a file is written, and set aside files that are the user's own."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "Invalid Python='{}.{}': expected 3.11 or later, "
        "for example uvx --python 3.14 cookiecutter".format(*sys.version_info[:2])
    )

import json
import keyword
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

Answers = dict[str, Any]

TEXTS = ("project_name", "description", "author_name")
BOOLEANS = (
    *("sse", "ndjson", "csv", "request_id", "security_headers", "compression"),
    *("console", "client", "deployment"),
)
CHOICES = {
    "database": ("sqlite", "postgresql"),
    "event_broker": ("memory", "redis"),
    "chat": ("none", "openai", "ai-sdk"),
    "auth": ("tokens", "none"),
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
}
FORMATS = ("sse", "ndjson", "csv")

PATHS = {
    "sse": [
        "src/{package}/events.py",
        "src/{package}/runs.py",
        "src/{package}/streaming/events",
        "tests/test_events.py",
        "tests/test_runs.py",
    ],
    "memory": ["src/{package}/streaming/events/memory.py"],
    "redis": [
        "src/{package}/streaming/events/lua",
        "src/{package}/streaming/events/redis.py",
        "src/{package}/streaming/events/redis_runs.py",
        "tests/redis_server.py",
    ],
    "chat": [
        "docs/chat.md",
        "src/{package}/model.py",
        "src/{package}/streaming/chat",
        "tests/test_chat.py",
    ],
    "openai": [
        "src/{package}/streaming/chat/completion.py",
        "src/{package}/streaming/chat/openai.py",
    ],
    "ai_sdk": ["src/{package}/streaming/chat/ai_sdk.py"],
    "exports": [
        "docs/exports.md",
        "src/{package}/exports.py",
        "src/{package}/samples.py",
        "src/{package}/streaming/exports",
        "src/{package}/tables.py",
        "tests/test_exports.py",
    ],
    "ndjson": ["src/{package}/streaming/exports/ndjson.py"],
    "csv": ["src/{package}/streaming/exports/csv.py"],
    "sqlite": ["src/{package}/streaming/exports/sqlite.py"],
    "postgresql": ["src/{package}/streaming/exports/postgresql.py", "tests/postgresql.py"],
    "compression": ["tests/test_compression.py"],
    "headers": ["src/{package}/streaming/headers.py"],
    "request_id": ["tests/test_request_id.py"],
    "security_headers": ["src/{package}/headers.py", "tests/test_security_headers.py"],
    "tokens": ["docs/security.md", "src/{package}/streaming/access", "tests/test_access.py"],
    "origins": ["src/{package}/streaming/origins.py", "tests/test_origins.py"],
    "console": ["src/{package}/console", "tests/test_console.py"],
    "console sse": ["src/{package}/console/static/events"],
    "console chat": ["src/{package}/console/static/chat"],
    "console openai": ["src/{package}/console/static/chat/openai.js"],
    "console ai_sdk": ["src/{package}/console/static/chat/ai_sdk.js"],
    "console exports": ["src/{package}/console/static/exports"],
    "console ndjson": ["src/{package}/console/static/exports/ndjson.js"],
    "console csv": ["src/{package}/console/static/exports/csv.js"],
    "console tokens": ["src/{package}/console/static/session.js"],
    "client": ["src/{package}/streaming/client", "tests/test_client.py"],
    "client sse": [
        "src/{package}/streaming/client/position.py",
        "src/{package}/streaming/client/publish.py",
        "src/{package}/streaming/client/tail.py",
    ],
    "client exports": [
        "src/{package}/streaming/client/download.py",
        "src/{package}/streaming/client/formats.py",
    ],
    "deployment": [".dockerignore", "Dockerfile", "deploy"],
    "deployment servers": ["compose.yaml"],
    "deployment replicas": ["docs/replicas.md"],
}
"""The paths that a project has only with all uses of the key, which are names of `__uses`."""

USES = {use for key in PATHS for use in key.split()}
"""The names of `__uses`."""

WORK = Path(".cookiecutter")
"""The folder, in the project, that the two hooks share; it exists only between them."""

INCOMPLETE = "# Removed by the post-generation hook:"
"""The line above the statement that stops a project whose hooks were not run."""

SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_SLUG = 63  # of a DNS label

# Written by `python -m support.names`.
STANDARD_LIBRARY = frozenset(
    """
    abc aifc annotationlib antigravity argparse array ast asynchat asyncio asyncore atexit audioop
    base64 bdb binascii bisect builtins bz2 calendar cgi cgitb chunk cmath cmd code codecs codeop
    collections colorsys compileall compression concurrent configparser contextlib contextvars copy
    copyreg cprofile crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils
    doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch
    fractions ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib
    heapq hmac html http idlelib imaplib imghdr imp importlib inspect io ipaddress itertools json
    keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal math mimetypes mmap
    modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers
    opcode operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform
    plistlib poplib posix posixpath pprint profile profiling pstats pty pwd py_compile pyclbr pydoc
    pydoc_data pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched
    secrets select selectors shelve shlex shutil signal site smtpd smtplib sndhdr socket
    socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string
    stringprep struct subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib
    tempfile termios test textwrap this threading time timeit tkinter token tokenize tomllib trace
    traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest urllib uu uuid
    venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc xx xxlimited
    xxlimited_35 xxlimited_3_13 xxsubtype zipapp zipfile zipimport zlib zoneinfo
    """.split()
)
DEPENDENCIES = frozenset(
    """
    a2wsgi annotated_doc annotated_types anyio argcomplete ast_serialize async_timeout attr azure
    backports black boto3 botocore brotli brotlicffi chardet click colorama coverage coverage3
    coverage_3_11 coverage_3_14 cryptography ctags cython dmypy dns dotenv email_validator eventlet
    execnet fastapi fastapi_cli fastapi_offline gevent google greenlet h11 h2 hiredis httpcore2
    httptools httpx httpx2 httpx2_jsfetch hyperscan hypothesis idna iniconfig ipython ipywidgets
    itsdangerous jinja2 jiter jwt libcst librt linkify_it lxml markdown_it markdown_it_py mdurl
    msgspec multipart mypy mypy_extensions mypyc mysql numpy openai opentelemetry opentelemetry_api
    orjson packaging pandas pathspec pil pluggy psutil psycopg psycopg_binary psycopg_c py py_test
    pydantic pydantic_core pydantic_extra_types pydantic_settings pygmentize pygments pytest
    pytest_cov pytest_xdist python_dotenv python_multipart python_socks pyyaml re2 redis requests
    rich ruff setproctitle setuptools shapely shellingham sniffio socksio sortedcontainers
    sounddevice sphinx sqla_plugin_base sqlalchemy sqlcipher3 starlette starlette_compress stubgen
    stubtest thread toml tomli tomli_w trio truststore typer typing_extensions typing_inspection
    tzdata urllib3 uvicorn uvloop watchdog watchfiles websockets werkzeug wsproto xdist xxhash yaml
    zstandard
    """.split()
)
ENVIRONMENT_COMMANDS = frozenset(
    """
    activate activate_this deactivate pip pip3 python python3 pythonw
    """.split()
)
IGNORED_FOLDERS = frozenset(
    """
    buck_out build cvs dist node_modules site_packages venv
    """.split()
)
# End of what `python -m support.names` writes.

TAKEN = {
    "a keyword of Python": frozenset(keyword.kwlist),
    "a module of Python's standard library": STANDARD_LIBRARY,
    "a package or command of the dependencies": DEPENDENCIES,
    "a command of a virtual environment": ENVIRONMENT_COMMANDS,
    "a folder that tools ignore": IGNORED_FOLDERS,
    "a device of Windows": frozenset(
        ["aux", "con", "nul", "prn", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
    ),
    "a file of the project": frozenset(["conftest", "src", "tests"]),
    "a command that the project is used with": frozenset(["docker", "git", "pre_commit", "uv"]),
}
"""The names that a package cannot have, by what has them."""


class InvalidAnswer(ValueError):
    """An answer that no project can be generated from."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"Invalid {name}={value!r}: expected {expected}")


def check_text(name: str, value: object) -> None:
    """Accept visible text of one line."""
    invalid = {"Cc", "Cs", "Zl", "Zp"}
    if not isinstance(value, str) or any(unicodedata.category(c) in invalid for c in value):
        raise InvalidAnswer(name, value, "text of one line, for example 'Streaming API'")
    if not value.strip():
        raise InvalidAnswer(name, value, "visible characters, for example 'Streaming API'")


def check_boolean(name: str, value: object) -> None:
    """Accept true and false, but no text: even "no" would be true in a template."""
    if not isinstance(value, bool):
        expected = "a boolean, for example true (cookiecutter 2.7 or later)"
        raise InvalidAnswer(name, value, expected)


def check_choice(name: str, value: object) -> None:
    """Accept one of the choices."""
    if value not in CHOICES[name]:
        *others, last = CHOICES[name]
        raise InvalidAnswer(name, value, f"{', '.join(others)} or {last}")


def check_slug(name: str, value: object) -> None:
    """Accept a name for a folder, a distribution, a command and an importable package."""
    slug = str(value)
    problem = slug_problem(slug)
    if problem:
        raise InvalidAnswer(name, value, f"{problem}, for example {suggested_slug(slug)}")


def slug_problem(slug: str) -> str:
    """Return what is expected of a slug that is not accepted, or an empty string."""
    if not SLUG.fullmatch(slug):
        return "lower-case letters, digits and single hyphens after a first letter"
    if len(slug) > LONGEST_SLUG:
        return f"at most {LONGEST_SLUG} characters"
    package = slug.replace("-", "_")
    for owner, names in TAKEN.items():
        if package in names:
            return f"a name other than {owner}"
    return ""


def suggested_slug(slug: str) -> str:
    """Return an accepted slug that resembles one that is not: `My Queue` → `my-queue`."""
    plain = unicodedata.normalize("NFKD", slug).encode("ascii", "ignore").decode().lower()
    words = re.sub("[^a-z0-9]+", "-", re.sub("^[^a-z]+", "", plain)).strip("-")
    for ending in ("", "-api", "-service"):
        suggestion = words[: LONGEST_SLUG - len(ending)].rstrip("-") + ending
        if not slug_problem(suggestion):
            return suggestion
    return "streaming-api"


def check_formats(answers: Answers) -> None:
    """Accept at least one format."""
    if not any(answers[name] for name in FORMATS):
        *others, last = FORMATS
        name = f"{', '.join(others)} and {last}"
        raise InvalidAnswer(name, False, f"at least one of them true, for example {last}=true")


def fingerprint(answers: Answers) -> str:
    """Compute `__fingerprint` as cookiecutter.json does, from all variables above it."""
    variables = {
        name: value
        for name, value in answers.items()
        if name != "__fingerprint" and (name.startswith("__") or not name.startswith("_"))
    }
    text = json.dumps(variables, sort_keys=True, indent=4)
    return str(int.from_bytes(text.encode(), "big") % (2**61 - 1))


def check_fingerprint(answers: Answers) -> None:
    """Accept derived variables only with the answers that they were derived from.

    A replay file freezes both: after an edit, or for an older version of the template, they differ.
    """
    if answers["__fingerprint"] != fingerprint(answers) or answers["__uses"].keys() != USES:
        expected = (
            "a replay file as this version of the template saved it; "
            "pass other answers as arguments, for example --no-input sse=no"
        )
        raise InvalidAnswer("__fingerprint", answers["__fingerprint"], expected)


def check(answers: Answers) -> None:
    """Raise `InvalidAnswer` for the first answer that is not accepted."""
    for name in TEXTS:
        check_text(name, answers[name])
    check_slug("project_slug", answers["project_slug"])
    for name in BOOLEANS:
        check_boolean(name, answers[name])
    for name in CHOICES:
        check_choice(name, answers[name])
    check_formats(answers)
    check_fingerprint(answers)


def left_out(answers: Answers) -> list[Path]:
    """List the paths, relative to the project, that the answers leave out; parents first."""
    uses, package = answers["__uses"], answers["__package_name"]
    return sorted(
        Path(path.format(package=package))
        for key, paths in PATHS.items()
        if not all(uses[use] for use in key.split())
        for path in paths
    )


def is_incomplete(project: Path, answers: Answers) -> bool:
    """Return whether the project was generated before, but without its hooks."""
    module = project / "src" / answers["__package_name"] / "__init__.py"
    return module.is_file() and INCOMPLETE in module.read_text(encoding="utf-8")


def prepare(project: Path, answers: Answers) -> None:
    """Write down what the post-generation hook removes, and set aside what is there already.

    With `--overwrite-if-exists` the folder may hold files of the user's own under these paths.
    """
    paths = left_out(answers)
    (project / WORK / "kept").mkdir(parents=True)
    plan = {
        "left_out": [path.as_posix() for path in paths],
        "incomplete": is_incomplete(project, answers),
    }
    (project / WORK / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    for path in paths:
        if os.path.lexists(project / path):
            kept = project / WORK / "kept" / path
            kept.parent.mkdir(parents=True, exist_ok=True)
            (project / path).rename(kept)


def main(answers: Answers) -> int:
    """Return an exit status, after a line on stderr where it is not zero."""
    project = Path.cwd()
    try:
        check(answers)
        if (project / WORK).exists():
            expected = f"none; move the files of an interrupted run back from {WORK}/kept"
            raise InvalidAnswer("folder", str(WORK), expected)
    except InvalidAnswer as error:
        print(error, file=sys.stderr)
        return 1
    prepare(project, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(r'''{{ cookiecutter | tojson }}''')))  # fmt: skip
