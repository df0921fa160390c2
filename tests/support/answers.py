"""The answers that change files, every combination of them, and a set in which every pair meets."""

import random
from collections.abc import Iterator, Sequence
from itertools import combinations, product

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
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
}

DEFAULT: Answers = {name: values[0] for name, values in FACTORS.items()}
SMALLEST: Answers = DEFAULT | {
    "ndjson": False,
    "csv": False,
    "request_id": False,
    "security_headers": False,
    "license": "Proprietary",
}


def has_exports(answers: Answers) -> bool:
    """Tell whether a database is there to export from."""
    return bool(answers["ndjson"] or answers["csv"])


def mattering(answers: Answers) -> Answers:
    """Leave out the answers that change nothing beside the others."""
    without: set[str] = set()
    if not has_exports(answers):
        without |= {"compression", "database"}
    if not answers["sse"]:
        without |= {"event_broker"}
    return {name: value for name, value in answers.items() if name not in without}


def normal(answers: Answers) -> Answers:
    """Give the answers that do not matter their default."""
    return DEFAULT | mattering(answers)


def valid() -> Iterator[Answers]:
    """Yield every combination that has a format."""
    for values in product(*FACTORS.values()):
        answers = dict(zip(FACTORS, values, strict=True))
        if answers["sse"] or has_exports(answers):
            yield answers


def every_variant() -> list[Answers]:
    """List every combination that gives other files than the rest, under one license."""
    return [
        answers
        for answers in valid()
        if answers == normal(answers) and answers["license"] == DEFAULT["license"]
    ]


def pairs(answers: Answers) -> set[object]:
    """List every two answers that meet, and matter, in a combination."""
    return set(combinations(mattering(answers).items(), 2))


def covering_set() -> list[Answers]:
    """Choose few combinations, the default and the smallest first, in which every pair meets."""
    candidates = [answers for answers in valid() if answers == normal(answers)]
    random.Random(4).shuffle(candidates)  # of the orders tried, one that needs the fewest
    missing = set[object]().union(*map(pairs, candidates))
    chosen: list[Answers] = []
    for first in (DEFAULT, SMALLEST):
        chosen.append(first)
        missing -= pairs(first)
    while missing:
        best = max(candidates, key=lambda answers: len(pairs(answers) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


def name(answers: Answers) -> str:
    """Name a combination by what differs from the default."""
    differing = (
        ("no-" if value is False else "") + (key if isinstance(value, bool) else str(value))
        for key, value in answers.items()
        if value != DEFAULT[key]
    )
    return " ".join(differing) or "default"
