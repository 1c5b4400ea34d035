"""The state of a sandbox: hibernation, checkpoints, restarts.

The synchronous form, written by scripts/generate_sync.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .portal import call, iterate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .. import state as _state
    from ..checkpoints import CheckpointInfo, RetentionPolicy
    from ..sandbox_info import SandboxInfo
    from ..state import SandboxEvent


class SandboxState:
    """The part of ``Sandbox`` that is about its state."""

    def __init__(self, wrapped: _state.SandboxState) -> None:
        """Internal: use ``Sandbox.create`` or ``Sandbox.connect``."""
        self._wrapped = wrapped

    @property
    def sandbox_id(self) -> str:
        """Id, for ``Sandbox.connect``."""
        return self._wrapped.sandbox_id

    @property
    def id(self) -> str:
        """The same as ``sandbox_id``."""
        return self._wrapped.id

    @property
    def status(self) -> str:
        """State as of the last answer about it; ``is_running`` asks for the current one."""
        return self._wrapped.status

    @property
    def info(self) -> SandboxInfo:
        """What is known about it, as of the last answer."""
        return self._wrapped.info

    def __repr__(self) -> str:
        return self._wrapped.__repr__()

    def hibernate(self, *, request_timeout: float | None = None) -> None:
        """Saves memory and processes to disk; nothing of it runs until any operation, or ``wake``, wakes it.

        If it cannot be saved it goes on running.

        Args:
            request_timeout: Seconds after which it fails. Default 300.

        Raises:
            SandboxStoppedError: It has ended.
            SandboxNotFoundError: It does not exist.
            CapacityError: The disk is full.

        Example:
            ```python
            sandbox.hibernate()
            ```
        """
        call(self._wrapped.hibernate, request_timeout=request_timeout)

    def wake(self, timeout: int | None = None, *, request_timeout: float | None = None) -> None:
        """Wakes it with its memory and processes; a running one stays so, one in error is started from its disk.

        Where its memory cannot be restored it is started from its disk, and ``info.cold_boot_reason`` says why.

        Args:
            timeout: Idle timeout from now on, in seconds; 0: never. Default: the one it had.
            request_timeout: Seconds after which it fails. Default 300.

        Raises:
            SandboxStoppedError: It has ended.
            SandboxNotFoundError: It does not exist.
            LimitError: There is no room for it; CapacityError when the host has none.

        Example:
            ```python
            sandbox.wake(timeout=600)
            ```
        """
        call(self._wrapped.wake, timeout, request_timeout=request_timeout)

    def reboot(self, *, request_timeout: float | None = None) -> None:
        """Shuts its system down and starts it again. Id, disk and environment are kept, processes are lost.

        Args:
            request_timeout: Seconds after which it fails. Default 300.

        Raises:
            SandboxStoppedError: It has ended.
            SandboxNotFoundError: It does not exist.
            CapacityError: There is no room for it.

        Example:
            ```python
            sandbox.reboot()
            ```
        """
        call(self._wrapped.reboot, request_timeout=request_timeout)

    def power_cycle(self, *, request_timeout: float | None = None) -> None:
        """Turns it off and on without asking its system; what had not been written to the disk is lost.

        Args:
            request_timeout: Seconds after which it fails. Default 300.

        Raises:
            SandboxStoppedError: It has ended.
            SandboxNotFoundError: It does not exist.
            CapacityError: There is no room for it.

        Example:
            ```python
            sandbox.power_cycle()
            ```
        """
        call(self._wrapped.power_cycle, request_timeout=request_timeout)

    def create_checkpoint(
        self,
        name: str,
        kind: Literal["full", "disk_only"] | None = None,
        promote_to_full: bool | None = None,
        retention_policy: RetentionPolicy | None = None,
        *,
        require_quiesced: bool | None = None,
        request_timeout: float | None = None,
    ) -> CheckpointInfo:
        """Takes a checkpoint; the sandbox goes on.

        It returns once the checkpoint is ready, or after 20 s with the status ``processing``; forks wait for that.
        Checkpoints outlive their sandbox until they are deleted.

        Args:
            name: Unique among the checkpoints of this sandbox.
            kind: ``full`` (default) or ``disk_only``, whose forks boot.
            promote_to_full: With ``disk_only``: take it as a full one after all.
            retention_policy: What happens to older ones.
            require_quiesced: Fail where the guest does not come to rest in time, instead of saving it as it is.
            request_timeout: Seconds after which it fails. Default 300.

        Raises:
            ConflictError: The name is taken.
            LimitError: There are too many; CapacityError when the disk is full.
            SandboxStoppedError: It has ended.

        Example:
            ```python
            checkpoint = sandbox.create_checkpoint("ready")
            copy = Sandbox.create_from_checkpoint(checkpoint.id)
            ```
        """
        return call(
            self._wrapped.create_checkpoint,
            name,
            kind,
            promote_to_full,
            retention_policy,
            require_quiesced=require_quiesced,
            request_timeout=request_timeout,
        )

    def list_checkpoints(self, *, request_timeout: float | None = None) -> list[CheckpointInfo]:
        """Lists its checkpoints, newest first.

        Args:
            request_timeout: Seconds after which it fails.

        Raises:
            SandboxNotFoundError: It does not exist.

        Example:
            ```python
            names = [checkpoint.name for checkpoint in sandbox.list_checkpoints()]
            ```
        """
        return call(self._wrapped.list_checkpoints, request_timeout=request_timeout)

    def restore_checkpoint(self, checkpoint_id: str, *, request_timeout: float | None = None) -> None:
        """Puts it back to one of its checkpoints: memory, processes and disk; what came after is lost.

        Args:
            checkpoint_id: Of a checkpoint of this sandbox.
            request_timeout: Seconds after which it fails. Default 300.

        Raises:
            NotFoundError: No checkpoint has this id.
            InvalidRequestError: It is of another sandbox.
            ConflictError: It has failed.

        Example:
            ```python
            sandbox.restore_checkpoint(checkpoint.id)
            ```
        """
        call(self._wrapped.restore_checkpoint, checkpoint_id, request_timeout=request_timeout)

    def delete_checkpoint(self, checkpoint_id: str, *, request_timeout: float | None = None) -> None:
        """Deletes one of its checkpoints; forks are not affected.

        Args:
            checkpoint_id: Of a checkpoint of this sandbox.
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: No checkpoint of this sandbox has this id.

        Example:
            ```python
            sandbox.delete_checkpoint(checkpoint.id)
            ```
        """
        call(self._wrapped.delete_checkpoint, checkpoint_id, request_timeout=request_timeout)

    def events(self) -> Iterator[SandboxEvent]:
        """What happened to it, oldest first; pages are fetched as needed.

        Raises:
            SandboxNotFoundError: It does not exist; raised while iterating.

        Example:
            ```python
            for event in sandbox.events():
                print(event.time, event.kind, event.reason)
            ```
        """
        return iterate(self._wrapped.events)
