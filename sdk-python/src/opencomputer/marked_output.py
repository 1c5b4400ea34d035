"""Output up to a marker, which separates the output of a command from what follows."""

from __future__ import annotations

from collections import deque

# How much of one stream of a command is kept; the oldest output is dropped first.
_most_kept = 8 * 1024 * 1024


class MarkedOutput:
    """One stream of one command in a shell."""

    def __init__(self, marker: str) -> None:
        """Takes what the shell prints after the command."""
        self._marker = marker.encode()
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        # The end of the received output, which may be the beginning of the marker.
        self._held = b""
        self.truncated = False
        self.after: bytes | None = None

    def text(self) -> str:
        """What came before the marker, read as UTF-8."""
        return b"".join(self._kept).decode("utf-8", "replace")

    def push(self, data: bytes) -> bytes:
        """Takes a piece; returns the part of it, and of earlier ones, that is certainly output."""
        if self.after is not None:
            self.after += data
            return b""
        data = self._held + data
        found = data.find(self._marker)
        end = max(0, len(data) - len(self._marker) + 1) if found == -1 else found
        if found == -1:
            self._held = data[end:]
        else:
            self.after = data[found + len(self._marker) :]
        output = data[:end]
        self._keep(output)
        return output

    def _keep(self, data: bytes) -> None:
        self._kept.append(data)
        self._kept_bytes += len(data)
        while self._kept_bytes > _most_kept:
            self.truncated = True
            oldest = self._kept.popleft()
            excess = self._kept_bytes - _most_kept
            if len(oldest) > excess:
                self._kept.appendleft(oldest[excess:])
            self._kept_bytes -= min(excess, len(oldest))
