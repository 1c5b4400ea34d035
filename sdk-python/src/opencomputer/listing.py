"""Lists of sandboxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S")


@dataclass(frozen=True)
class SandboxPage(Generic[S]):
    """One page of a list.

    Attributes:
        sandboxes: What is on it.
        next_cursor: Where the next page begins; None on the last one.
    """

    sandboxes: list[S]
    next_cursor: str | None
