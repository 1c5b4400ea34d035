"""How values cross the pipe: JSON, with bytes as text or, when they are many, as a file."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

_inline_bytes = 64 * 1024


def snake(name: str) -> str:
    """``memoryMB`` becomes ``memory_mb``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def camel(name: str) -> str:
    """``session_id`` becomes ``sessionId``."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def decode(value: Any) -> Any:
    """A value of a call as the client takes it."""
    if isinstance(value, dict) and "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    return value


class Encoder:
    """Values that a client has returned, as JSON has them."""

    def __init__(self, directory: str) -> None:
        """Takes the directory for large values; whoever reads them removes them."""
        self._directory = directory

    def encode(self, value: Any) -> Any:
        """Results are objects with the names that TypeScript has for their fields."""
        if value is None or isinstance(value, str | int | float):
            return value
        if isinstance(value, bytes | bytearray):
            return self._bytes(value)
        if isinstance(value, datetime):
            return value.isoformat().replace("+00:00", "Z")
        if is_dataclass(value):
            names = [field.name for field in fields(value) if not field.name.startswith("_")]
            return {camel(name): self.encode(getattr(value, name)) for name in names}
        if isinstance(value, Mapping):
            return {str(key): self.encode(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.encode(item) for item in value]
        raise TypeError(f"no form is known for {value!r}")

    def _bytes(self, value: bytes | bytearray) -> dict[str, str]:
        if len(value) <= _inline_bytes:
            return {"$bytes": base64.b64encode(value).decode()}
        with tempfile.NamedTemporaryFile(dir=self._directory, delete=False) as file:
            file.write(value)
        return {"$file": file.name}
