"""The answers that change files, named recipes, and sets of variants to render and to run."""

import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, product

from jinja2 import Environment, StrictUndefined, Template

import pre_gen_project
from support.tools import TEMPLATE

Answer = bool | str
Answers = dict[str, Answer]

FACTORS: dict[str, Sequence[Answer]] = {
    "sse": (True, False),
    "ndjson": (True, False),
    "csv": (True, False),
    "request_id": (True, False),
    "security_headers": (True, False),
    "compression": (True, False),
    "database": ("sqlite", "postgresql"),
    "event_broker": ("memory", "redis"),
    "chat": ("none", "openai", "ai-sdk"),
    "auth": ("tokens", "none"),
    "console": (True, False),
    "client": (False, True),
    "deployment": (True, False),
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
}
"""The choices and their values, the default first."""

DEFAULT: Answers = {name: values[0] for name, values in FACTORS.items()}
BOOLEANS = [name for name, value in DEFAULT.items() if isinstance(value, bool)]
DECLINED: Answers = DEFAULT | dict.fromkeys(BOOLEANS, False) | {"auth": "none"}
"""Everything declined, also the formats: a base, not a variant."""

SMALLEST: Answers = DECLINED | {"csv": True}
SERVERS: Answers = {"event_broker": "redis", "database": "postgresql"}

RECIPES: dict[str, Answers] = {
    "default": DEFAULT,
    "csv-only": SMALLEST,
    "events-only": DECLINED | {"sse": True},
    "exports-behind-proxy": DEFAULT | {"sse": False, "auth": "none", "database": "postgresql"},
    "replicas": DEFAULT | SERVERS,
    "chat": DEFAULT | {"ndjson": False, "csv": False, "chat": "openai"},
    "everything": DEFAULT | dict.fromkeys(BOOLEANS, True) | SERVERS | {"chat": "ai-sdk"},
}
"""Variants that users ask for, by name."""

SAMPLE = 250
"""The random variants that the covering set is chosen from: every pair is in dozens of them."""


def derived_templates() -> dict[str, Template]:
    """Compile the templates of `__exports` and of `__uses` in cookiecutter.json."""
    prompts = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    environment = Environment(undefined=StrictUndefined, autoescape=True)
    templates = {"__exports": prompts["__exports"], **prompts["__uses"]}
    return {name: environment.from_string(text) for name, text in templates.items()}


DERIVED = derived_templates()


@cache
def _uses(items: tuple[tuple[str, Answer], ...]) -> dict[str, bool]:
    answers: dict[str, object] = dict(items)
    answers["__exports"] = DERIVED["__exports"].render(cookiecutter=answers)
    return {
        name: template.render(cookiecutter=answers) == "yes"
        for name, template in DERIVED.items()
        if not name.startswith("_")
    }


def uses(answers: Answers) -> dict[str, bool]:
    """Return `__uses` for the answers, as cookiecutter.json derives it."""
    return _uses(tuple(answers.items()))


def has_exports(answers: Answers) -> bool:
    """Return whether the answers export from a database."""
    return uses(answers)["exports"]


def mattering(answers: Answers) -> Answers:
    """Return the answers of which another value would change the project."""
    used = uses(answers)
    return {
        name: value
        for name, value in answers.items()
        if name == "license"
        or any(uses(answers | {name: other}) != used for other in FACTORS[name] if other != value)
    }


def normal(answers: Answers) -> Answers:
    """Return the answers with the default for those that do not matter."""
    return DEFAULT | mattering(answers)


def is_valid(answers: Answers) -> bool:
    """Return whether a format is chosen."""
    return any(answers[name] for name in pre_gen_project.FORMATS)


def valid() -> Iterator[Answers]:
    """Yield every combination that has a format."""
    for values in product(*FACTORS.values()):
        answers = dict(zip(FACTORS, values, strict=True))
        if is_valid(answers):
            yield answers


def pairs(answers: Answers) -> set[object]:
    """Return every two answers that meet, and matter, in a combination."""
    return set(combinations(mattering(answers).items(), 2))


@cache
def _covering_set() -> tuple[Answers, ...]:
    chance = random.Random(9)  # of the seeds tried, one that needs the fewest
    drawn = ({name: chance.choice(FACTORS[name]) for name in FACTORS} for _ in range(SAMPLE))
    candidates = [normal(answers) for answers in drawn if is_valid(answers)]
    pairs_of = [(answers, pairs(answers)) for answers in candidates]
    chosen = [DEFAULT, SMALLEST]
    missing = set[object]().union(*(pairs for _, pairs in pairs_of))
    missing -= pairs(DEFAULT) | pairs(SMALLEST)
    while missing:
        best, covered = max(pairs_of, key=lambda candidate: len(candidate[1] & missing))
        chosen.append(best)
        missing -= covered
    return tuple(chosen)


def covering_set() -> list[Answers]:
    """Choose few variants, the default and the smallest first, in which every pair meets."""
    return list(_covering_set())


def flips(base: Answers) -> list[Answers]:
    """List a base, and the base with each answer alone changed, under its license."""
    flipped = (
        base | {name: value}
        for name, values in FACTORS.items()
        if name != "license"
        for value in values
    )
    return [base, *filter(is_valid, flipped)]


def variants() -> list[Answers]:
    """List the variants to render: recipes, the covering set, and each choice alone."""
    bases = [DEFAULT, *(DECLINED | {name: True} for name in pre_gen_project.FORMATS)]
    listed = [*RECIPES.values(), *covering_set(), *(each for base in bases for each in flips(base))]
    return list({tuple(normal(answers).items()): normal(answers) for answers in listed}.values())


def name(answers: Answers) -> str:
    """Name a combination by its recipe, or else by what differs from the default."""
    for recipe, same in RECIPES.items():
        if answers in (same, normal(same)):
            return recipe
    return " ".join(
        ("" if value else "no-") + (key if isinstance(value, bool) else str(value))
        for key, value in answers.items()
        if value != DEFAULT[key]
    )
