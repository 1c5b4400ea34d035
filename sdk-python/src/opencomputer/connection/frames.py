"""Messages on the socket of a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

OutputStream: TypeAlias = Literal["stdout", "stderr"]


@dataclass(frozen=True)
class Output:
    """Output of the command."""

    stream: OutputStream
    data: bytes


@dataclass(frozen=True)
class Exit:
    """The command has ended, and all its output has been delivered."""

    code: int


@dataclass(frozen=True)
class ReplayEnd:
    """All output from before the attachment has been delivered."""


@dataclass(frozen=True)
class Gap:
    """This many bytes of output are lost at this place."""

    size: int


@dataclass(frozen=True)
class Accepted:
    """The session has taken this many bytes of this client's input in all."""

    total: int


@dataclass(frozen=True)
class Offset:
    """Offset of the next byte in all output."""

    offset: int


@dataclass(frozen=True)
class Power:
    """The sandbox hibernates, or runs again."""

    awake: bool


Frame: TypeAlias = "Output | Exit | ReplayEnd | Gap | Accepted | Offset | Power"

_stdin, _end_of_stdin = 0, 4
# Most bytes of input in one frame; servers refuse messages beyond 1 MiB.
_longest_input = 64 * 1024


def parse_frame(message: bytes) -> Frame | None:
    """Parses one message. None for what is ignored: an empty message, or an unknown type.

    Raises:
        ValueError: A frame of a known type is too short, or contains an impossible number.
    """
    payload = message[1:]
    kind = message[0] if message else -1
    if kind == 1:
        return Output("stdout", payload)
    if kind == 2:
        return Output("stderr", payload)
    if kind == 3:
        return Exit(int.from_bytes(payload[:4], "big", signed=True) if len(payload) >= 4 else 0)
    if kind == 4:
        return ReplayEnd()
    if kind == 5:
        return Gap(_count(payload))
    if kind == 6:
        return Accepted(_count(payload))
    if kind == 7:
        return Offset(_count(payload))
    if kind == 9:
        if not payload:
            raise ValueError("a frame of the power without a byte")
        return Power(payload[0] != 0)
    return None


def input_frames(data: bytes) -> Iterator[bytes]:
    """Frames that carry the bytes to the command's standard input."""
    for start in range(0, len(data), _longest_input):
        yield bytes([_stdin]) + data[start : start + _longest_input]


def end_of_input_frame() -> bytes:
    """The frame that ends the command's standard input."""
    return bytes([_end_of_stdin])


def _count(payload: bytes) -> int:
    if len(payload) < 8:
        raise ValueError(f"a count of {len(payload)} bytes where 8 are due")
    value = int.from_bytes(payload[:8], "big")
    if value > 2**53:
        raise ValueError(f"a count of {value} bytes cannot be")
    return value
