"""Bodies of requests, made of the content that the caller gives."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from . import check
from .errors import InvalidRequestError, invalid_option
from .threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# What can be written to a file. A ``Path`` is a local file; streams are sent as they come, whatever their length.
FileContent: TypeAlias = (
    str
    | bytes
    | bytearray
    | memoryview
    | os.PathLike[str]
    | BinaryIO
    | AsyncIterable[bytes | str]
    | Iterable[bytes | str]
)

_piece = 256 * 1024


@dataclass(frozen=True)
class Upload:
    """A body ready to be sent.

    Attributes:
        replayable: False when the source gives its content only once.
        size: Bytes, when known beforehand.
        source: Gives the pieces, each time from the beginning where it is replayable.
    """

    replayable: bool
    size: int | None
    source: Callable[[], AsyncIterator[bytes]]

    async def open(self, on_progress: Callable[[], None]) -> AsyncIterator[bytes]:
        """The pieces; ``on_progress`` is called whenever one is sent."""
        async for piece in self.source():
            on_progress()
            # In a chunked body an empty piece would mean its end.
            if piece:
                yield piece


def to_upload(content: FileContent) -> Upload:
    """Makes a body.

    Raises:
        InvalidRequestError: ``content`` cannot be sent.
    """
    if isinstance(content, str):
        return _bytes_upload(memoryview(check.text("content", content).encode()))
    if isinstance(content, (bytes, bytearray, memoryview)):
        return _bytes_upload(memoryview(content).cast("B"))
    if isinstance(content, os.PathLike):
        return _path_upload(Path(content))
    if hasattr(content, "read"):
        file = cast("BinaryIO", content)
        return Upload(replayable=False, size=None, source=lambda: _file_pieces(file))
    if isinstance(content, AsyncIterable):
        stream = content
        return Upload(replayable=False, size=None, source=lambda: _async_pieces(stream))
    if isinstance(content, Mapping):
        # It would be taken for an iterable of its keys.
        raise invalid_option(
            f"content cannot be sent: {type(cast('object', content)).__name__}",
            "Give str or bytes, such as json.dumps(content).",
        )
    if isinstance(content, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        items = content
        return Upload(replayable=False, size=None, source=lambda: _pieces(items))
    raise invalid_option(
        f"content cannot be sent: {type(content).__name__}",
        "Give str, bytes, a Path, a file opened in binary mode, or an iterable of bytes.",
    )


def _bytes_upload(data: memoryview) -> Upload:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), _piece):
            yield bytes(data[start : start + _piece])

    return Upload(replayable=True, size=len(data), source=pieces)


def _path_upload(path: Path) -> Upload:
    try:
        about = path.stat()
    except OSError as failure:
        raise invalid_option(f"content is a path that cannot be read: {failure}", "Give a file.") from failure
    if not stat.S_ISREG(about.st_mode):
        raise invalid_option(f"content is {path}, which is not a file", "Give the path of a regular file.")

    async def pieces() -> AsyncIterator[bytes]:
        file = await in_thread(path.open, "rb")
        try:
            left = about.st_size
            while left > 0:
                piece = await in_thread(file.read, min(_piece, left))
                if not piece:
                    raise invalid_option(f"{path} became shorter while it was sent", "Send a file at rest.")
                left -= len(piece)
                yield piece
        finally:
            file.close()

    return Upload(replayable=True, size=about.st_size, source=pieces)


async def _file_pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await in_thread(file.read, _piece):
        yield _checked(piece)


async def _async_pieces(stream: AsyncIterable[bytes | str]) -> AsyncIterator[bytes]:
    async for item in stream:
        yield _checked(item)


async def _pieces(items: Iterable[bytes | str]) -> AsyncIterator[bytes]:
    # Iterators may block, e.g. on a disk.
    iterator, end = iter(items), object()
    while (item := await in_thread(next, iterator, end)) is not end:
        yield _checked(item)


def _checked(item: object) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(cast("bytes", item))
    raise not_bytes(item)


def not_bytes(item: object) -> InvalidRequestError:
    """The error for a stream that yields something else."""
    return invalid_option(f"the stream of content yielded {type(item).__name__}", "It must yield bytes or str.")
