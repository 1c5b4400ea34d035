"""Files of a sandbox."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from . import check
from .answers import Answer, answers
from .errors import OpenComputerError, invalid_option
from .http import HttpClient, OpenAnswer, Request
from .threads import in_thread
from .upload import FileContent, to_upload

if TYPE_CHECKING:
    import builtins
    import os
    from collections.abc import AsyncIterator
    from datetime import datetime

FileType: TypeAlias = Literal["file", "directory", "symlink", "other"]

# Errors of reading which mean that nothing is there.
_nothing_there = {"file_not_found", "not_directory"}
# Errors of reading which mean that something is there, but not a readable file.
_something_there = {"is_directory", "not_regular_file"}


@dataclass(frozen=True)
class EntryInfo:
    """An entry of a directory.

    Attributes:
        name: Its name.
        path: Its path from the root.
        is_dir: True for directories and for links to them.
        size: Bytes.
        type: ``file``, ``directory``, ``symlink`` or ``other``.
        mode: Permissions, e.g. ``0644``.
        modified_at: When its content last changed, in UTC; None where the server does not report it.
    """

    name: str
    path: str
    is_dir: bool
    size: int
    type: FileType
    mode: str
    modified_at: datetime | None


class Filesystem:
    """Files of a sandbox: ``sandbox.files``. Relative paths start at ``/home/sandbox``.

    All methods take ``request_timeout``: seconds without an answer or progress after which they fail
    (default 60, 0: no limit). All raise SandboxNotFoundError, SandboxStoppedError, AuthenticationError,
    ConnectionError and TimeoutError where these apply.
    """

    def __init__(self, http: HttpClient, sandbox_path: str) -> None:
        """Internal: use ``sandbox.files``."""
        self._http = http
        self._path = f"{sandbox_path}/files"

    async def read(self, path: str, *, request_timeout: float | None = None) -> str:
        """Reads a text file. Bytes that are not UTF-8 become U+FFFD; use ``read_bytes`` for anything but text.

        Args:
            path: The file.
            request_timeout: Seconds without progress after which it fails.

        Raises:
            FileNotFoundError: There is none.
            InvalidRequestError: The path is a directory, or invalid.

        Example:
            ```python
            text = await sandbox.files.read("/app/hello.txt")
            ```
        """
        return (await self.read_bytes(path, request_timeout=request_timeout)).decode("utf-8", "replace")

    async def read_bytes(self, path: str, *, request_timeout: float | None = None) -> bytes:
        """Reads a file.

        Args:
            path: The file.
            request_timeout: Seconds without progress after which it fails.

        Raises:
            FileNotFoundError: There is none.
            InvalidRequestError: The path is a directory, or invalid.

        Example:
            ```python
            image = await sandbox.files.read_bytes("plot.png")
            ```
        """

        async def collect(answer: OpenAnswer) -> bytes:
            pieces: list[bytes] = []
            async for piece in answer.response.aiter_raw():
                answer.deadline.restart()
                pieces.append(piece)
            return b"".join(pieces)

        return await self._http.exchange(self._get(path, request_timeout), collect)

    async def read_stream(self, path: str, *, request_timeout: float | None = None) -> AsyncIterator[bytes]:
        """Reads a file piece by piece, whatever its size, in constant memory.

        Args:
            path: The file.
            request_timeout: Seconds without progress after which it fails, while you wait for a piece.

        Raises:
            FileNotFoundError: There is none; raised by the first step of the iteration.
            InvalidRequestError: The path is a directory, or invalid.

        Example:
            ```python
            async for chunk in sandbox.files.read_stream("/var/log/big.log"):
                digest.update(chunk)
            ```
        """
        async for piece in self._http.stream(self._get(path, request_timeout)):
            yield piece

    async def download(
        self, path: str, local_path: str | os.PathLike[str], *, request_timeout: float | None = None
    ) -> int:
        """Reads a file into a local one, in constant memory. The local file appears once all of it is there.

        Args:
            path: The file in the sandbox.
            local_path: Where it goes; a file that is there is replaced.
            request_timeout: Seconds without progress after which it fails.

        Returns:
            Its size in bytes.

        Raises:
            FileNotFoundError: There is none in the sandbox, or no such local directory.
            InvalidRequestError: The path is a directory, or invalid.

        Example:
            ```python
            size = await sandbox.files.download("/app/report.pdf", "report.pdf")
            ```
        """
        try:
            target = Path(local_path)
        except TypeError:
            raise invalid_option(f"local_path is not a path: {local_path!r}", "Give str or Path.") from None
        size = 0
        draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        file = await in_thread(draft.open, "xb")
        try:
            async for piece in self.read_stream(path, request_timeout=request_timeout):
                size += await in_thread(file.write, piece)
            file.close()
            draft.replace(target)
        except BaseException:
            file.close()
            draft.unlink()
            raise
        return size

    async def write(self, path: str, content: FileContent, *, request_timeout: float | None = None) -> None:
        """Writes a file: creates it and its parent directories, or replaces its content.

        The old content stays until the new one has arrived completely.

        Args:
            path: The file.
            content: Text, bytes, a ``Path`` of a local file, a file opened in binary mode, or an iterable or
                async iterable of bytes; all but text and bytes are sent in constant memory.
            request_timeout: Seconds without progress after which it fails.

        Raises:
            InvalidRequestError: The path is a directory, or invalid; the content cannot be sent.
            CapacityError: The disk is full.

        Example:
            ```python
            await sandbox.files.write("/app/hello.txt", "Hello")
            await sandbox.files.write("/data/big.bin", Path("big.bin"))
            ```
        """
        query = {"path": check.text("path", path)}
        upload = to_upload(content)
        await self._http.done(Request("PUT", self._path, query, upload=upload, timeout=request_timeout))

    async def list(self, path: str = "/", *, request_timeout: float | None = None) -> builtins.list[EntryInfo]:
        """Lists a directory, sorted by name.

        Args:
            path: The directory.
            request_timeout: Seconds after which it fails.

        Raises:
            FileNotFoundError: There is none.
            InvalidRequestError: It is a file.

        Example:
            ```python
            for entry in await sandbox.files.list("/app"):
                print(entry.name, entry.size)
            ```
        """
        query = {"path": check.text("path", path)}
        answer = await self._http.json(Request("GET", f"{self._path}/list", query, timeout=request_timeout))
        return [_entry(item) for item in answers(answer)]

    async def make_dir(self, path: str, *, request_timeout: float | None = None) -> None:
        """Makes a directory and its parents. One that exists is fine.

        Args:
            path: The directory.
            request_timeout: Seconds after which it fails.

        Raises:
            InvalidRequestError: A file is in the way.

        Example:
            ```python
            await sandbox.files.make_dir("/app/logs")
            ```
        """
        query = {"path": check.text("path", path)}
        await self._http.done(Request("POST", f"{self._path}/mkdir", query, timeout=request_timeout))

    async def remove(self, path: str, *, request_timeout: float | None = None) -> None:
        """Removes a file, or a directory with all in it. One that does not exist is fine.

        Args:
            path: What to remove.
            request_timeout: Seconds after which it fails.

        Raises:
            InvalidRequestError: It may not be removed, such as ``/``.

        Example:
            ```python
            await sandbox.files.remove("/app/logs")
            ```
        """
        query = {"path": check.text("path", path)}
        await self._http.done(Request("DELETE", self._path, query, timeout=request_timeout))

    async def exists(self, path: str, *, request_timeout: float | None = None) -> bool:
        """Is there anything at this path: a file, a directory, a device, a pipe or a socket? Links are followed.

        Args:
            path: What to look for.
            request_timeout: Seconds after which it fails.

        Raises:
            InvalidRequestError: The path is invalid.

        Example:
            ```python
            if not await sandbox.files.exists("package.json"):
                await sandbox.exec.run("npm init -y")
            ```
        """
        try:
            await self._http.open_and_close(self._get(path, request_timeout))
        except OpenComputerError as error:
            if error.code in _something_there:
                return True
            if error.code in _nothing_there:
                return False
            raise
        return True

    def _get(self, path: str, timeout: float | None) -> Request:
        return Request("GET", self._path, {"path": check.text("path", path)}, timeout=timeout)


def _entry(answer: Answer) -> EntryInfo:
    is_dir = answer.flag("isDir", False)
    kind = answer.text("type", "directory" if is_dir else "file")
    types: dict[str, FileType] = {"file": "file", "directory": "directory", "symlink": "symlink"}
    return EntryInfo(
        name=answer.text("name"),
        path=answer.text("path"),
        is_dir=is_dir,
        size=answer.whole("size", 0),
        type=types.get(kind, "other"),
        mode=answer.text("mode", ""),
        modified_at=answer.optional_time("modifiedAt"),
    )
