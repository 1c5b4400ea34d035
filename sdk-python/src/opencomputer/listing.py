"""Lists of sandboxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .sandbox import Sandbox


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


class SandboxList:
    """Sandboxes, newest first; iterate over it. Pages are fetched as they are needed."""

    def __init__(
        self, fetch_page: Callable[[str | None], Awaitable[SandboxPage[Sandbox]]], first_cursor: str | None
    ) -> None:
        """Internal: use ``Sandbox.list``."""
        self._fetch_page = fetch_page
        self._first_cursor = first_cursor

    async def __aiter__(self) -> AsyncIterator[Sandbox]:
        """The sandboxes one by one."""
        async for page in self.pages():
            for sandbox in page.sandboxes:
                yield sandbox

    async def pages(self) -> AsyncIterator[SandboxPage[Sandbox]]:
        """The list page by page.

        Example:
            ```python
            async for page in Sandbox.list(limit=50).pages():
                print(len(page.sandboxes), page.next_cursor)
            ```
        """
        cursor = self._first_cursor
        while True:
            page = await self._fetch_page(cursor)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
