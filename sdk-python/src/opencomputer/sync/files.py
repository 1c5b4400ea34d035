"""Files of a sandbox.

The synchronous form, written by scripts/generate_sync.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .portal import call, iterate

if TYPE_CHECKING:
    import builtins
    import os
    from collections.abc import Iterator

    from .. import files as _files
    from ..files import EntryInfo
    from ..upload import FileContent


class Filesystem:
    """Files of a sandbox: ``sandbox.files``. Relative paths start at ``/home/sandbox``.

    All methods take ``request_timeout``: seconds without an answer or progress after which they fail
    (default 60, 0: no limit). All raise SandboxNotFoundError, SandboxStoppedError, AuthenticationError,
    ConnectionError and TimeoutError where these apply.
    """

    def __init__(self, wrapped: _files.Filesystem) -> None:
        """Internal: use ``sandbox.files``."""
        self._wrapped = wrapped

    def read(self, path: str, *, request_timeout: float | None = None) -> str:
        """Reads a text file. Bytes that are not UTF-8 become U+FFFD; use ``read_bytes`` for anything but text.

        Args:
            path: The file.
            request_timeout: Seconds without progress after which it fails.

        Raises:
            FileNotFoundError: There is none.
            InvalidRequestError: The path is a directory, or invalid.

        Example:
            ```python
            text = sandbox.files.read("/app/hello.txt")
            ```
        """
        return call(self._wrapped.read, path, request_timeout=request_timeout)

    def read_bytes(self, path: str, *, request_timeout: float | None = None) -> bytes:
        """Reads a file.

        Args:
            path: The file.
            request_timeout: Seconds without progress after which it fails.

        Raises:
            FileNotFoundError: There is none.
            InvalidRequestError: The path is a directory, or invalid.

        Example:
            ```python
            image = sandbox.files.read_bytes("plot.png")
            ```
        """
        return call(self._wrapped.read_bytes, path, request_timeout=request_timeout)

    def read_stream(self, path: str, *, request_timeout: float | None = None) -> Iterator[bytes]:
        """Reads a file piece by piece, whatever its size, in constant memory.

        Args:
            path: The file.
            request_timeout: Seconds without progress after which it fails, while you wait for a piece.

        Raises:
            FileNotFoundError: There is none; raised by the first step of the iteration.
            InvalidRequestError: The path is a directory, or invalid.

        Example:
            ```python
            for chunk in sandbox.files.read_stream("/var/log/big.log"):
                digest.update(chunk)
            ```
        """
        return iterate(self._wrapped.read_stream, path, request_timeout=request_timeout)

    def download(self, path: str, local_path: str | os.PathLike[str], *, request_timeout: float | None = None) -> int:
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
            size = sandbox.files.download("/app/report.pdf", "report.pdf")
            ```
        """
        return call(self._wrapped.download, path, local_path, request_timeout=request_timeout)

    def write(self, path: str, content: FileContent, *, request_timeout: float | None = None) -> None:
        """Writes a file: creates it and its parent directories, or replaces its content.

        The old content stays until the new one has arrived completely.

        Args:
            path: The file.
            content: Text, bytes, a ``Path`` of a local file, a file opened in binary mode, or an iterable of
                bytes; all but text and bytes are sent in constant memory.
            request_timeout: Seconds without progress after which it fails.

        Raises:
            InvalidRequestError: The path is a directory, or invalid; the content cannot be sent.
            CapacityError: The disk is full.

        Example:
            ```python
            sandbox.files.write("/app/hello.txt", "Hello")
            sandbox.files.write("/data/big.bin", Path("big.bin"))
            ```
        """
        call(self._wrapped.write, path, content, request_timeout=request_timeout)

    def list(self, path: str = "/", *, request_timeout: float | None = None) -> builtins.list[EntryInfo]:
        """Lists a directory, sorted by name.

        Args:
            path: The directory.
            request_timeout: Seconds after which it fails.

        Raises:
            FileNotFoundError: There is none.
            InvalidRequestError: It is a file.

        Example:
            ```python
            for entry in sandbox.files.list("/app"):
                print(entry.name, entry.size)
            ```
        """
        return call(self._wrapped.list, path, request_timeout=request_timeout)

    def make_dir(self, path: str, *, request_timeout: float | None = None) -> None:
        """Makes a directory and its parents. One that exists is fine.

        Args:
            path: The directory.
            request_timeout: Seconds after which it fails.

        Raises:
            InvalidRequestError: A file is in the way.

        Example:
            ```python
            sandbox.files.make_dir("/app/logs")
            ```
        """
        call(self._wrapped.make_dir, path, request_timeout=request_timeout)

    def remove(self, path: str, *, request_timeout: float | None = None) -> None:
        """Removes a file, or a directory with all in it. One that does not exist is fine.

        Args:
            path: What to remove.
            request_timeout: Seconds after which it fails.

        Raises:
            InvalidRequestError: It may not be removed, such as ``/``.

        Example:
            ```python
            sandbox.files.remove("/app/logs")
            ```
        """
        call(self._wrapped.remove, path, request_timeout=request_timeout)

    def exists(self, path: str, *, request_timeout: float | None = None) -> bool:
        """Is there anything at this path: a file, a directory, a device, a pipe or a socket? Links are followed.

        Args:
            path: What to look for.
            request_timeout: Seconds after which it fails.

        Raises:
            InvalidRequestError: The path is invalid.

        Example:
            ```python
            if not sandbox.files.exists("package.json"):
                sandbox.exec.run("npm init -y")
            ```
        """
        return call(self._wrapped.exists, path, request_timeout=request_timeout)
