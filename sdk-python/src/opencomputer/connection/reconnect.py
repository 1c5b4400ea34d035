"""The times of reconnecting."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from ..retry import back_off

if TYPE_CHECKING:
    from ..config import Reconnect

# A connection that lasted this long was good, even if nothing was transferred.
_stable = 5.0


class Reconnection:
    """How long a connection has been gone, and when to try again."""

    def __init__(self, settings: Reconnect | Literal[False]) -> None:
        """Takes the caller's settings; False: never reconnect."""
        self.timeout = settings.timeout if settings else 0.0
        self._max_delay = settings.max_delay if settings else 0.0
        self._failures = 0
        self._since: float | None = None
        self._attached_at = 0.0

    def attached(self) -> None:
        """A connection is open. It counts as a success only once something was transferred, or some time has passed."""
        self._attached_at = time.monotonic()

    def progress(self) -> None:
        """Something has passed."""
        self._failures = 0
        self._since = None

    def lost(self) -> None:
        """A connection has broken off."""
        if time.monotonic() - self._attached_at >= _stable:
            self.progress()
        if self._since is None:
            self._since = time.monotonic()

    def next_pause(self) -> float | None:
        """Seconds until the next attempt; None when the time is up."""
        self._failures += 1
        pause = min(back_off(self._failures), self._max_delay)
        return None if self._absent() + pause > self.timeout or self.timeout == 0 else pause

    def attempt_limit(self) -> float:
        """Seconds that one attempt may take."""
        return max(1.0, self.timeout - self._absent())

    def _absent(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since
