"""Checks of parameters before anything is sent: each failure names the parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .errors import invalid_option

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def text(name: str, value: object) -> str:
    """A string that can be sent as UTF-8."""
    if not isinstance(value, str):
        raise invalid_option(f"{name} is not a string but {type(value).__name__}", "Give a string.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise invalid_option(f"{name} holds half of a surrogate pair", "Text is sent as UTF-8.") from None
    return value


def optional(check: Callable[[str, object], T], name: str, value: object) -> T | None:
    """None, or what ``check`` accepts."""
    return None if value is None else check(name, value)


def whole(name: str, value: object) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_option(f"{name} is not a whole number: {value!r}", "Give an int.")
    return value


def count(name: str, value: object) -> int:
    """A whole number that is not negative."""
    number = whole(name, value)
    if number < 0:
        raise invalid_option(f"{name} must not be negative: {number}", "Give 0 or more.")
    return number


def positive(name: str, value: object) -> int:
    """A whole number of at least 1."""
    number = whole(name, value)
    if number < 1:
        raise invalid_option(f"{name} must be at least 1: {number}", "Give 1 or more.")
    return number


def seconds(name: str, value: object) -> float:
    """A number of seconds that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or value < 0:
        raise invalid_option(f"{name} is not a number of seconds: {value!r}", "Give 0 or more.")
    return float(value)


def flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise invalid_option(f"{name} is not a bool: {value!r}", "Give True or False.")
    return value


def texts(name: str, value: object) -> list[str]:
    """A sequence of strings; a single string is not one."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        kind = type(value).__name__
        raise invalid_option(f"{name} is not a list of strings but {kind}", f'Give a list such as ["{name}"].')
    items = cast("Sequence[object]", value)
    return [text(f"{name}[{index}]", item) for index, item in enumerate(items)]


def text_map(name: str, value: object) -> dict[str, str]:
    """A mapping of strings to strings."""
    if not isinstance(value, Mapping):
        kind = type(value).__name__
        raise invalid_option(f"{name} is not a dict of strings but {kind}", 'Give one such as {"KEY": "value"}.')
    items = cast("Mapping[object, object]", value).items()
    return {text(f"a key of {name}", key): text(f"{name}[{key!r}]", item) for key, item in items}


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    """One of some words."""
    if value not in choices:
        raise invalid_option(f"{name} is {value!r}", f"Give one of {', '.join(choices)}.")
    return str(value)


def callback(name: str, value: object) -> Any:
    """Something that can be called, or None."""
    if value is not None and not callable(value):
        raise invalid_option(f"{name} cannot be called: {value!r}", "Give a function, or leave it out.")
    return value


def segment(what: str, value: object, hint: str) -> str:
    """An id as a segment of a path; anything else would name another endpoint."""
    if not isinstance(value, str) or re.fullmatch(r"[A-Za-z0-9_-]+", value) is None:
        raise invalid_option(f"{value!r} is not the id of a {what}", hint)
    return value
