"""Sample rows, for the first start and for `{{ cookiecutter.project_slug }} seed`."""

from datetime import UTC, datetime, timedelta
from typing import Any

from .streaming import Samples
from .tables import items, users

MATERIALS = ("Oak", "Linen", "Copper", "Glass", "Wool", "Birch", "Slate")
THINGS = ("table", "lamp", "bowl", "chair", "shelf", "blanket", "mirror", "tray", "clock")
FIRST_NAMES = ("Ada", "Björn", "Chiara", "Dmitri", "Emeka", "Fatima", "Grace", "Hiro", "Inés")
LAST_NAMES = ("Adeyemi", "Bergström", "Costa", "D'Angelo", "Eriksson", "Fischer", "Gupta")
START = datetime(2026, 1, 1, tzinfo=UTC)


def sample_item(number: int) -> dict[str, Any]:
    """Return the row of that number; every tenth has no description."""
    material = MATERIALS[number % len(MATERIALS)]
    thing = THINGS[number % len(THINGS)]
    description = f'A {thing} of {material.lower()}, "number {number}"'
    return {
        "id": number,
        "name": f"{material} {thing}",
        "description": description if number % 10 else None,
        "price": number % 50_000 / 100,
        "created_at": START + timedelta(minutes=number),
    }


def sample_user(number: int) -> dict[str, Any]:
    """Return the row of that number."""
    first = FIRST_NAMES[number % len(FIRST_NAMES)]
    last = LAST_NAMES[number % len(LAST_NAMES)]
    return {"id": number, "name": f"{first} {last}", "email": f"user{number}@example.com"}


SAMPLES: Samples = {items: sample_item, users: sample_user}
"""The function that returns a sample row, for each table that has samples."""
