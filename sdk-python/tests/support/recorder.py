"""Collects what a session is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opencomputer import OpenComputerError


class Recorder:
    def __init__(self) -> None:
        self.stdout = ""
        self.stderr = ""
        self.events: list[str] = []

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_stdout": self._on_stdout,
            "on_stderr": self._on_stderr,
            "on_scrollback_end": lambda: self.events.append("end of scrollback"),
            "on_exit": self._on_exit,
            "on_gap": self._on_gap,
            "on_disconnect": self._on_disconnect,
            "on_reconnect": lambda: self.events.append("reconnected"),
            "on_hibernate": lambda: self.events.append("hibernates"),
            "on_wake": lambda: self.events.append("wakes"),
        }

    async def _on_stdout(self, data: bytes) -> None:
        self.stdout += data.decode("latin-1")

    def _on_stderr(self, data: bytes) -> None:
        self.stderr += data.decode("latin-1")

    def _on_exit(self, code: int) -> None:
        self.events.append(f"exit {code}")

    def _on_gap(self, size: int) -> None:
        self.events.append(f"gap {size}")

    def _on_disconnect(self, reason: OpenComputerError) -> None:
        assert reason.code
        self.events.append("disconnected")
