"""Which server to talk to, and as whom."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from . import check
from .errors import invalid_option

default_api_url = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Reconnect:
    """How long and how often a session tries to reconnect after its connection was lost.

    Attributes:
        timeout: Seconds without a connection after which it gives up.
        max_delay: Longest pause between two attempts, in seconds.

    Example:
        ```python
        sandbox = await Sandbox.create(reconnect=Reconnect(timeout=300))
        ```
    """

    timeout: float = 60.0
    max_delay: float = 2.0

    def __post_init__(self) -> None:
        check.seconds("reconnect.timeout", self.timeout)
        check.seconds("reconnect.max_delay", self.max_delay)


@dataclass(frozen=True)
class Connection:
    """Settings after defaults. ``api_url`` ends in ``/api``; ``api_key`` is empty when there is none."""

    api_url: str
    # Not in what is printed.
    api_key: str = field(repr=False)
    request_timeout: float | None
    reconnect: Reconnect | Literal[False]


def resolve_connection(
    api_key: str | None = None,
    api_url: str | None = None,
    request_timeout: float | None = None,
    reconnect: Reconnect | Literal[False] | None = None,
) -> Connection:
    """Fills in defaults.

    Raises:
        InvalidRequestError: A setting cannot be used.
    """
    url = check.optional(check.text, "api_url", api_url) or _environment("OPENCOMPUTER_API_URL")
    key = check.optional(check.text, "api_key", api_key) or _environment("OPENCOMPUTER_API_KEY")
    return Connection(
        api_url=_resolve_api_url(url or default_api_url),
        api_key=_resolve_api_key(key),
        request_timeout=check.optional(check.seconds, "request_timeout", request_timeout),
        reconnect=check_reconnect(reconnect, Reconnect()),
    )


def check_reconnect(
    value: Reconnect | Literal[False] | None, default: Reconnect | Literal[False]
) -> Reconnect | Literal[False]:
    """The setting, or the default for None."""
    if value is None:
        return default
    if value is not False and not isinstance(value, Reconnect):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise invalid_option(f"reconnect is {value!r}", "Give Reconnect(timeout=…) or False.")
    return value


def _environment(name: str) -> str:
    return os.environ.get(name, "").strip()


def _resolve_api_url(value: str) -> str:
    trimmed = value.strip().rstrip("/")
    try:
        url = urlsplit(trimmed)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
        url = urlsplit("")
    if not usable or re.search(r"\s", trimmed):
        raise invalid_option(
            f"api_url is not an http or https URL: {value!r}",
            f"Give one such as {default_api_url}, as api_url or in OPENCOMPUTER_API_URL.",
        )
    if "@" in url.netloc or url.query or url.fragment or trimmed[-1] in "?#":
        raise invalid_option(
            "api_url must not hold a user, a password, a query or a fragment",
            "Give only scheme, host, port and path; the key goes into api_key.",
        )
    return trimmed if trimmed.endswith("/api") else f"{trimmed}/api"


def _resolve_api_key(value: str) -> str:
    key = value.strip()
    # The key is a secret, so the message does not contain it.
    if re.fullmatch(r"[\x21-\x7e]*", key) is None:
        raise invalid_option(
            "api_key holds white space or characters that a header cannot carry",
            "Copy the key again; it is one word that begins with osb_.",
        )
    return key
