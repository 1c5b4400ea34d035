"""Cuts a stream of bytes into lines of JSON."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

# A longer line is reported as an error and dropped.
_longest_line = 32 * 1024 * 1024


class JsonLines:
    """The bytes may come in any pieces. A line that is not a JSON object comes as text."""

    def __init__(self) -> None:
        """Begins with an empty line."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # The line that has not ended yet.
        self._parts: list[str] = []
        self._length = 0
        self._overlong = False

    def push(self, data: bytes) -> Iterator[dict[str, Any] | str]:
        """The lines that end in this piece."""
        first, *rest = self._decoder.decode(data).split("\n")
        self._append(first)
        for part in rest:
            yield from self.end()
            self._append(part)

    def end(self) -> Iterator[dict[str, Any] | str]:
        """Ends the line, even without a newline."""
        line, overlong = "".join(self._parts).strip(), self._overlong
        self._parts, self._length, self._overlong = [], 0, False
        if overlong:
            yield f"a line of more than {_longest_line} characters"
        elif line:
            yield _parse(line)

    def _append(self, text: str) -> None:
        if not text or self._overlong:
            return
        self._length += len(text)
        self._overlong = self._length > _longest_line
        if self._overlong:
            self._parts = []
        else:
            self._parts.append(text)


def _parse(line: str) -> dict[str, Any] | str:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return cast("dict[str, Any]", value) if isinstance(value, dict) else line
