"""Parses the answers of the server: a field that is not as the API says is an error at once."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, cast

from .errors import unexpected_answer

# The server's value for "never" where a time is expected.
_never = "0001-01-01T00:00:00Z"


class Answer:
    """A JSON object of the server. Members that this package does not know are ignored."""

    def __init__(self, value: object) -> None:
        """Takes the parsed JSON."""
        if not isinstance(value, dict):
            raise unexpected_answer(f"the server answered with {type(value).__name__} instead of an object")
        self.members = cast("dict[str, Any]", value)

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self.members.get(name, default)
        return value if isinstance(value, str) else self._odd(name, value)

    def optional_text(self, name: str) -> str | None:
        """A string, or None when it is absent."""
        return None if self.members.get(name) is None else self.text(name)

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        value = self.members.get(name, default)
        return value if isinstance(value, int) and not isinstance(value, bool) else self._odd(name, value)

    def optional_whole(self, name: str) -> int | None:
        """A whole number, or None when it is absent."""
        return None if self.members.get(name) is None else self.whole(name)

    def optional_number(self, name: str) -> float | None:
        """A number, or None when it is absent."""
        value = self.members.get(name)
        if value is None:
            return None
        return float(value) if isinstance(value, (int, float)) else self._odd(name, value)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """True or False."""
        value = self.members.get(name, default)
        return value if isinstance(value, bool) else self._odd(name, value)

    def optional_flag(self, name: str) -> bool | None:
        """True or False, or None when it is absent."""
        return self.flag(name) if self.members.get(name) is not None else None

    def time(self, name: str) -> datetime:
        """A time, in UTC."""
        found = self.optional_time(name)
        return self._odd(name, self.members.get(name)) if found is None else found

    def optional_time(self, name: str) -> datetime | None:
        """A time in UTC, or None when it is absent or never."""
        value = self.optional_text(name)
        if value is None or value == _never:
            return None
        try:
            # Before Python 3.11 "Z" is not understood, nor are fractions of other than 3 or 6 digits.
            main, _, fraction = value.removesuffix("Z").partition(".")
            time = datetime.fromisoformat(f"{main}.{fraction[:6].ljust(6, '0')}" if fraction else main)
        except ValueError:
            return self._odd(name, value)
        return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)

    def optional_object(self, name: str) -> Answer | None:
        """An object, or None when it is absent."""
        value: object = self.members.get(name)
        return None if value is None else Answer(value)

    def text_map(self, name: str) -> dict[str, str]:
        """An object of strings; empty when it is absent."""
        value: object = self.members.get(name) or {}
        if not isinstance(value, dict):
            return self._odd(name, value)
        return {str(key): str(item) for key, item in cast("dict[str, Any]", value).items()}

    def texts(self, name: str) -> list[str]:
        """A list of strings; empty when it is absent."""
        return [str(item) for item in self.items(name)]

    def items(self, name: str) -> list[Any]:
        """A list; empty when it is absent."""
        value: object = self.members.get(name) or []
        return cast("list[Any]", value) if isinstance(value, list) else self._odd(name, value)

    @staticmethod
    def _odd(name: str, value: object) -> Any:
        told = "is missing" if value is None else f"is {str(value)[:80]!r}"
        raise unexpected_answer(f"{name} {told} in an answer of the server")


def answers(value: object) -> list[Answer]:
    """A list of objects. Older servers answer null for an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise unexpected_answer(f"the server answered with {type(value).__name__} instead of a list")
    return [Answer(item) for item in cast("list[object]", value)]
