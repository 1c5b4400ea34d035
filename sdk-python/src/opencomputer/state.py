"""The state of a sandbox: hibernation, checkpoints, restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from . import check
from .answers import Answer, answers
from .checkpoints import (
    CheckpointInfo,
    RetentionPolicy,
    change_timeout,
    checkpoint_segment,
    pages,
    read_checkpoint,
)
from .errors import invalid_option, unexpected_answer
from .http import HttpClient, Request, without_none
from .sandbox_info import SandboxInfo, read_sandbox_info, sandbox_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime


@dataclass(frozen=True)
class SandboxEvent:
    """Something that happened to a sandbox.

    Attributes:
        id: Its number.
        time: When, in UTC.
        actor: ``client`` or ``system``.
        kind: What happened, such as ``hibernate``.
        reason: Why.
    """

    id: int
    time: datetime
    actor: str
    kind: str
    reason: str | None


class SandboxState:
    """The part of ``Sandbox`` that is about its state."""

    def __init__(self, http: HttpClient, data: Answer) -> None:
        """Internal: use ``Sandbox.create`` or ``Sandbox.connect``."""
        sandbox_id = data.optional_text("sandboxID")
        if not sandbox_id:
            raise unexpected_answer("the server answered with a sandbox that has no id")
        self._http = http
        self._path = sandbox_path(sandbox_id)
        self._sandbox_id = sandbox_id
        self._data = data
        self._info = read_sandbox_info(data)

    @property
    def sandbox_id(self) -> str:
        """Id, for ``Sandbox.connect``."""
        return self._sandbox_id

    @property
    def id(self) -> str:
        """The same as ``sandbox_id``."""
        return self._sandbox_id

    @property
    def status(self) -> str:
        """State as of the last answer about it; ``is_running`` asks for the current one."""
        return self._info.status

    @property
    def info(self) -> SandboxInfo:
        """What is known about it, as of the last answer."""
        return self._info

    def __repr__(self) -> str:
        return f"<Sandbox {self.sandbox_id} {self.status}>"

    async def hibernate(self, *, request_timeout: float | None = None) -> None:
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
            await sandbox.hibernate()
            ```
        """
        await self._http.json(self._change("hibernate", {}, request_timeout))
        self._update(status="hibernated")

    async def wake(self, timeout: int | None = None, *, request_timeout: float | None = None) -> None:
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
            await sandbox.wake(timeout=600)
            ```
        """
        body = {"timeout": check.optional(check.count, "timeout", timeout)}
        self._replace(Answer(await self._http.json(self._change("wake", body, request_timeout))))

    async def reboot(self, *, request_timeout: float | None = None) -> None:
        """Shuts its system down and starts it again. Id, disk and environment are kept, processes are lost.

        Args:
            request_timeout: Seconds after which it fails. Default 300.

        Raises:
            SandboxStoppedError: It has ended.
            SandboxNotFoundError: It does not exist.
            CapacityError: There is no room for it.

        Example:
            ```python
            await sandbox.reboot()
            ```
        """
        await self._http.done(self._change("reboot", {}, request_timeout))
        self._update(status="running")

    async def power_cycle(self, *, request_timeout: float | None = None) -> None:
        """Turns it off and on without asking its system; what had not been written to the disk is lost.

        Args:
            request_timeout: Seconds after which it fails. Default 300.

        Raises:
            SandboxStoppedError: It has ended.
            SandboxNotFoundError: It does not exist.
            CapacityError: There is no room for it.

        Example:
            ```python
            await sandbox.power_cycle()
            ```
        """
        await self._http.done(self._change("power-cycle", {}, request_timeout))
        self._update(status="running")

    async def create_checkpoint(
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
            checkpoint = await sandbox.create_checkpoint("ready")
            copy = await Sandbox.create_from_checkpoint(checkpoint.id)
            ```
        """
        body = {
            "name": check.text("name", name),
            "kind": check.optional(check.text, "kind", kind),
            "promoteToFull": check.optional(check.flag, "promote_to_full", promote_to_full),
            "requireQuiesced": check.optional(check.flag, "require_quiesced", require_quiesced),
            "retentionPolicy": _wire_retention(retention_policy),
        }
        return read_checkpoint(Answer(await self._http.json(self._change("checkpoints", body, request_timeout))))

    async def list_checkpoints(self, *, request_timeout: float | None = None) -> list[CheckpointInfo]:
        """Lists its checkpoints, newest first.

        Args:
            request_timeout: Seconds after which it fails.

        Raises:
            SandboxNotFoundError: It does not exist.

        Example:
            ```python
            names = [checkpoint.name for checkpoint in await sandbox.list_checkpoints()]
            ```
        """
        request = Request("GET", f"{self._path}/checkpoints", timeout=request_timeout)
        return [read_checkpoint(answer) for answer in answers(await self._http.json(request))]

    async def restore_checkpoint(self, checkpoint_id: str, *, request_timeout: float | None = None) -> None:
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
            await sandbox.restore_checkpoint(checkpoint.id)
            ```
        """
        route = f"checkpoints/{checkpoint_segment(checkpoint_id)}/restore"
        await self._http.json(self._change(route, {}, request_timeout))
        self._replace(Answer(await self._http.json(Request("GET", self._path, timeout=request_timeout))))

    async def delete_checkpoint(self, checkpoint_id: str, *, request_timeout: float | None = None) -> None:
        """Deletes one of its checkpoints; forks are not affected.

        Args:
            checkpoint_id: Of a checkpoint of this sandbox.
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: No checkpoint of this sandbox has this id.

        Example:
            ```python
            await sandbox.delete_checkpoint(checkpoint.id)
            ```
        """
        path = f"{self._path}/checkpoints/{checkpoint_segment(checkpoint_id)}"
        await self._http.done(Request("DELETE", path, timeout=request_timeout))

    async def events(self) -> AsyncIterator[SandboxEvent]:
        """What happened to it, oldest first; pages are fetched as needed.

        Raises:
            SandboxNotFoundError: It does not exist; raised while iterating.

        Example:
            ```python
            async for event in sandbox.events():
                print(event.time, event.kind, event.reason)
            ```
        """
        async for page in pages(self._http, f"{self._path}/events", {}):
            for answer in page:
                yield SandboxEvent(
                    id=answer.whole("id"),
                    time=answer.time("time"),
                    actor=answer.text("actor"),
                    kind=answer.text("kind"),
                    reason=answer.optional_text("reason"),
                )

    def _change(self, route: str, body: Mapping[str, object], timeout: float | None) -> Request:
        path = f"{self._path}/{route}"
        return Request("POST", path, json=body, timeout=timeout, default_timeout=change_timeout)

    def _replace(self, data: Answer) -> None:
        self._data = data
        self._info = read_sandbox_info(data)

    def _update(self, **members: object) -> None:
        self._replace(Answer({**self._data.members, **members}))


def _wire_retention(policy: object) -> dict[str, object] | None:
    if policy is None:
        return None
    if not isinstance(policy, RetentionPolicy):
        hint = 'Give RetentionPolicy("delete_oldest", max_count=5).'
        raise invalid_option(f"retention_policy is {policy!r}", hint)
    mode = check.text("retention_policy.mode", policy.mode)
    most = check.optional(check.whole, "retention_policy.max_count", policy.max_count)
    return without_none({"mode": mode, "maxCount": most})
