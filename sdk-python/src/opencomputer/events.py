"""What happened to a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .checkpoints import pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from .http import HttpClient


@dataclass(frozen=True)
class SandboxEvent:
    """Something that happened to a sandbox.

    Attributes:
        id: Its number.
        time: When, in UTC.
        actor: ``client`` or ``system``.
        kind: What happened, such as ``hibernate``.
        reason: Why.
    """

    id: int
    time: datetime
    actor: str
    kind: str
    reason: str | None


async def events(http: HttpClient, path: str) -> AsyncIterator[SandboxEvent]:
    """See ``Sandbox.events``."""
    async for page in pages(http, f"{path}/events", {}):
        for answer in page:
            yield SandboxEvent(
                id=answer.whole("id"),
                time=answer.time("time"),
                actor=answer.text("actor"),
                kind=answer.text("kind"),
                reason=answer.optional_text("reason"),
            )
