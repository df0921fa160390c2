"""The tables that are exported, each at `/export/{table}` in every format."""

from .streaming import Export
from .tables import items, users

EXPORTS = [Export(items), Export(users)]
