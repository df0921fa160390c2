"""The items of all generators that are measured."""

from collections.abc import AsyncIterator, Iterator

from pydantic import BaseModel


class Item(BaseModel):
    """A small item."""

    id: int
    name: str
    price: float


async def items(limit: int) -> AsyncIterator[Item]:
    """Yield items without a wait."""
    for number in range(limit):
        yield Item(id=number, name=f"item {number}", price=number / 4)


def items_in_thread(limit: int) -> Iterator[Item]:
    """Yield the same items."""
    for number in range(limit):
        yield Item(id=number, name=f"item {number}", price=number / 4)
