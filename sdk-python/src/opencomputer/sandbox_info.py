"""What is known about a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from . import check

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .answers import Answer

SandboxStatus: TypeAlias = Literal["running", "hibernated", "stopped", "error"]


@dataclass(frozen=True)
class KeptAwakeBy:
    """The oldest session that was in use when an idle timeout was over.

    Attributes:
        session_id: Its id.
        command: Its command line.
        sessions: How many sessions were in use.
        at: When that was seen.
    """

    session_id: str
    command: str
    sessions: int
    at: datetime


@dataclass(frozen=True)
class SandboxInfo:
    """What is known about a sandbox, as of the last answer about it.

    Attributes:
        sandbox_id: Its id.
        status: ``running``, ``hibernated``, ``stopped`` or ``error``.
        status_reason: Why it is hibernated, stopped or failed.
        template: What its root file system began as.
        cpu_count: Virtual CPUs.
        memory_mb: Memory in MiB.
        disk_mb: Root disk in MiB.
        metadata: The key-value pairs given to ``create``.
        timeout: Idle timeout in seconds; 0 means never.
        started_at: When it was started.
        end_at: When it expires if nothing happens; None when never.
        kept_awake_by: Why it did not hibernate when its idle timeout was over the last time.
        hibernated_at: Since when it is hibernated.
        started_from: What its present run began from: ``memory``, with its processes, or its ``disk`` alone.
        cold_boot_reason: Why it was started from its disk where its memory was asked for: processes were lost.
        from_checkpoint_id: The checkpoint that it was forked from.
        patch_error: Why a patch of its checkpoint failed.
        region: Where it runs.
        worker_id: The host it runs on.
        emulated: True where the host has no KVM: software emulation is not an isolation boundary.
    """

    sandbox_id: str
    status: str
    status_reason: str | None
    template: str
    cpu_count: int
    memory_mb: int
    disk_mb: int
    metadata: Mapping[str, str]
    timeout: int
    started_at: datetime | None
    end_at: datetime | None
    kept_awake_by: KeptAwakeBy | None
    hibernated_at: datetime | None
    started_from: str | None
    cold_boot_reason: str | None
    from_checkpoint_id: str | None
    patch_error: str | None
    region: str
    worker_id: str
    emulated: bool


def _read_kept_awake_by(answer: Answer | None) -> KeptAwakeBy | None:
    if answer is None:
        return None
    return KeptAwakeBy(
        session_id=answer.text("sessionID"),
        command=answer.text("command"),
        sessions=answer.whole("sessions"),
        at=answer.time("at"),
    )


def read_sandbox_info(answer: Answer) -> SandboxInfo:
    """The server's data in the terms of this package."""
    return SandboxInfo(
        sandbox_id=answer.text("sandboxID"),
        status=answer.text("status", "running"),
        status_reason=answer.optional_text("statusReason"),
        template=answer.text("templateID", ""),
        cpu_count=answer.whole("cpuCount", 0),
        memory_mb=answer.whole("memoryMB", 0),
        disk_mb=answer.whole("diskMB", 0),
        metadata=answer.text_map("metadata"),
        timeout=answer.whole("timeout", 0),
        started_at=answer.optional_time("startedAt"),
        end_at=answer.optional_time("endAt"),
        kept_awake_by=_read_kept_awake_by(answer.optional_object("keptAwakeBy")),
        hibernated_at=answer.optional_time("hibernatedAt"),
        started_from=answer.optional_text("startedFrom"),
        cold_boot_reason=answer.optional_text("coldBootReason"),
        from_checkpoint_id=answer.optional_text("fromCheckpointId"),
        patch_error=answer.optional_text("patchError"),
        region=answer.text("region", ""),
        worker_id=answer.text("workerID", ""),
        emulated=answer.flag("emulated", False),
    )


def sandbox_path(sandbox_id: str) -> str:
    """The path of a sandbox.

    Raises:
        InvalidRequestError: The id would name another endpoint.
    """
    return f"/sandboxes/{check.segment('sandbox', sandbox_id, 'Ids look like sb-0a1b2c3d.')}"
