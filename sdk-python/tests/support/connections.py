"""Counts the connections that this process tries, also those that nobody takes."""

from __future__ import annotations

import sys

_tried = 0


def _hear(event: str, _args: tuple[object, ...]) -> None:
    global _tried
    if event == "socket.connect":
        _tried += 1


sys.addaudithook(_hear)


def connections_tried() -> int:
    return _tried
