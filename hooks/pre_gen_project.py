"""Stop with one sentence, before a file is written, when an answer cannot make a project."""

import json
import keyword
import re
import sys
import unicodedata
from typing import Any

Answers = dict[str, Any]

TEXTS = ("project_name", "description", "author_name")
BOOLEANS = ("sse", "ndjson", "csv", "request_id", "security_headers", "compression")
CHOICES = {
    "database": ("sqlite", "postgresql"),
    "event_broker": ("memory", "redis"),
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
}
FORMATS = ("sse", "ndjson", "csv")

SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SLUG_ACCEPTED = "lower-case letters, digits and single hyphens after a first letter"

STANDARD_LIBRARY = sys.stdlib_module_names.union(
    # Modules that some supported Python has, whichever one runs this hook.
    """
    aifc annotationlib audioop cgi cgitb chunk compression crypt distutils imghdr imp mailcap
    msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib test uu xdrlib
    """.split()
)

DEPENDENCIES = frozenset(
    """
    annotated_doc annotated_types anyio ast_serialize brotli click conftest coverage deptry
    dotenv execnet fastapi fastapi_offline greenlet h11 httpcore2 httptools httpx2 hypothesis
    idna iniconfig itsdangerous librt markdown_it markdown_it_py mdurl msgspec mypy
    mypy_extensions mypyc opentelemetry opentelemetry_api packaging pathspec pip pluggy
    pre_commit psycopg psycopg_binary py pydantic pydantic_core pydantic_settings pygments pytest
    pytest_cov pytest_xdist python python3 python_dotenv pyyaml redis rich ruff shellingham
    sortedcontainers sqlalchemy starlette starlette_compress tests truststore typer
    typing_extensions typing_inspection tzdata uv uvicorn uvloop watchfiles websockets xdist yaml
    zstandard
    """.split()
)
"""The modules and distributions that a project installs, and the commands it is run by."""


class BadAnswer(ValueError):
    """An answer that cannot make a project, in a sentence for the person who gave it."""


def bad(variable: str, given: object, accepted: str) -> BadAnswer:
    """Name the variable, what was given and what is accepted."""
    return BadAnswer(f"{variable} is {json.dumps(given, ensure_ascii=False)}, but {accepted}.")


def check_text(variable: str, given: object) -> None:
    """Accept visible text of one line."""
    line_breaking = {"Cc", "Cs", "Zl", "Zp"}
    if not isinstance(given, str) or any(unicodedata.category(c) in line_breaking for c in given):
        raise bad(variable, given, "only text of one line is accepted")
    if not given.strip():
        raise bad(variable, given, "a text with at least one visible character is needed")


def check_boolean(variable: str, given: object) -> None:
    """Accept true and false themselves: any text, "no" as well, is true in a template."""
    if not isinstance(given, bool):
        raise bad(variable, given, "only true or false is accepted (cookiecutter 2.7 or later)")


def check_choice(variable: str, given: object) -> None:
    """Accept one of the listed values."""
    if given not in CHOICES[variable]:
        raise bad(variable, given, f"only {', '.join(CHOICES[variable])} are accepted")


def check_slug(variable: str, given: object) -> None:
    """Accept a name that can be a folder, a distribution, a command and an importable package."""
    if not isinstance(given, str) or not SLUG.fullmatch(given):
        raise bad(variable, given, f"only {SLUG_ACCEPTED} are accepted")
    package = given.replace("-", "_")
    for taken, owner in (
        (keyword.kwlist, "a keyword of Python"),
        (STANDARD_LIBRARY, "a module of Python's standard library"),
        (DEPENDENCIES, "a package or a command that the project needs itself"),
    ):
        if package in taken:
            accepted = f"any other name of {SLUG_ACCEPTED} is accepted"
            raise bad(variable, given, f"{package} is {owner}; {accepted}")


def check_formats(answers: Answers) -> None:
    """Accept at least one format."""
    if not any(answers[name] for name in FORMATS):
        raise BadAnswer("sse, ndjson and csv are all false, but at least one of them must be true.")


def check(answers: Answers) -> None:
    """Raise `BadAnswer` for the first answer that cannot make a project."""
    for variable in TEXTS:
        check_text(variable, answers[variable])
    check_slug("project_slug", answers["project_slug"])
    for variable in BOOLEANS:
        check_boolean(variable, answers[variable])
    for variable in CHOICES:
        check_choice(variable, answers[variable])
    check_formats(answers)


def main(answers: Answers) -> int:
    """Return an exit status, after a sentence on stderr where it is not zero."""
    try:
        check(answers)
    except BadAnswer as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(r'''{{ cookiecutter | tojson }}''')))  # fmt: skip
