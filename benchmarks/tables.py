"""Figures as they were measured, in tables that a report can be made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Table:
    """Every figure of some ways to do one thing; a column's name holds its unit."""

    title: str
    reference: str = ""
    """The row whose first column the others are compared with."""
    note: str = ""
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Rows that could not be measured here, and why."""

    def add(self, row: str, figures: Mapping[str, float]) -> None:
        """Add what one round gave for a row."""
        print(
            f"{self.title} | {row}:",
            ", ".join(f"{name} {figure:.4g}" for name, figure in figures.items()),
        )
        for name, figure in figures.items():
            self.rows.setdefault(row, {}).setdefault(name, []).append(figure)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(dict.fromkeys(name for figures in self.rows.values() for name in figures))

    def ratio(self, row: str) -> float | None:
        """Return the median of a row's first column over that of the reference, if there is one."""
        if self.reference not in self.rows:
            return None
        column = self.columns[0]
        if column not in self.rows[row]:
            return None
        return median(self.rows[row][column]) / median(self.rows[self.reference][column])
