"""Checkpoints of sandboxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from . import check
from .answers import Answer, answers
from .errors import invalid_option
from .http import HttpClient, Request, http_client, without_none
from .power import change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime


@dataclass(frozen=True)
class RetentionPolicy:
    """What happens to older checkpoints once a new one is ready.

    Attributes:
        mode: ``delete_oldest``: the oldest of its kind beyond ``max_count`` are deleted; or ``none``.
        max_count: None: as many as are allowed, 10 full or 100 disk-only ones.
    """

    mode: Literal["none", "delete_oldest"]
    max_count: int | None = None


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint of a sandbox.

    Attributes:
        id: Its id, a UUID.
        sandbox_id: The sandbox it was taken of; that may have ended since.
        name: Unique among the checkpoints of its sandbox.
        kind: ``full``: disk and memory; ``disk_only``: forks boot from the disk.
        status: ``processing``, ``ready`` or ``failed``.
        size_bytes: Bytes that only this checkpoint occupies; 0 until it is ready.
        is_public: True when every key of the installation may fork it.
        created_at: When it was taken.
        template: Template of its sandbox.
        cpu_count: CPUs of its forks.
        memory_mb: Memory of its forks in MiB.
        disk_mb: Disk of its forks in MiB.
        parent_checkpoint_id: The checkpoint that the state of its sandbox came from.
        pause_ms: Milliseconds for which the sandbox was paused.
        quiesced: Whether the guest paused its work and wrote out its file system first; ``None``: not known. ``False``:
            it did not answer and was saved as it was; the disk of a ``disk_only`` checkpoint is then as after a power
            cut.
        error: Why it failed.
        forks: Ids of sandboxes forked from it; only ``Sandbox.list_all_checkpoints`` tells them.
        raw: The server's data, under its own names; also as ``checkpoint["sizeBytes"]``.
    """

    id: str
    sandbox_id: str
    name: str
    kind: str
    status: str
    size_bytes: int
    is_public: bool
    created_at: datetime | None
    template: str
    cpu_count: int
    memory_mb: int
    disk_mb: int
    parent_checkpoint_id: str | None
    pause_ms: float | None
    quiesced: bool | None
    error: str | None
    forks: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)

    def __getitem__(self, name: str) -> Any:
        return self.raw[name]


def checkpoint_segment(checkpoint_id: str) -> str:
    """The id as a segment of a path."""
    return check.segment("checkpoint", checkpoint_id, "Ids of checkpoints are UUIDs.")


def read_checkpoint(answer: Answer) -> CheckpointInfo:
    """The server's data in the terms of this package."""
    config = Answer(answer.members.get("sandboxConfig") or {})
    return CheckpointInfo(
        id=answer.text("id"),
        sandbox_id=answer.text("sandboxId"),
        name=answer.text("name"),
        kind=answer.text("kind", "full"),
        status=answer.text("status"),
        size_bytes=answer.whole("sizeBytes", 0),
        is_public=answer.flag("isPublic", False),
        created_at=answer.optional_time("createdAt"),
        template=config.text("template", ""),
        cpu_count=config.whole("cpuCount", 0),
        memory_mb=config.whole("memoryMB", 0),
        disk_mb=config.whole("diskMB", 0),
        parent_checkpoint_id=answer.optional_text("parentCheckpointId"),
        pause_ms=answer.optional_number("pauseMs"),
        quiesced=answer.optional_flag("quiesced"),
        error=answer.optional_text("errorMsg"),
        forks=tuple(Answer(fork).text("sandboxID") for fork in answer.items("forks")),
        raw=answer.members,
    )


async def create_checkpoint(
    http: HttpClient,
    path: str,
    name: str,
    kind: str | None,
    promote_to_full: bool | None,
    retention_policy: RetentionPolicy | None,
    require_quiesced: bool | None,
    request_timeout: float | None,
) -> CheckpointInfo:
    """See ``Sandbox.create_checkpoint``."""
    body = {
        "name": check.text("name", name),
        "kind": check.optional(check.text, "kind", kind),
        "promoteToFull": check.optional(check.flag, "promote_to_full", promote_to_full),
        "requireQuiesced": check.optional(check.flag, "require_quiesced", require_quiesced),
        "retentionPolicy": _wire_retention(retention_policy),
    }
    request = change(f"{path}/checkpoints", body, request_timeout)
    return read_checkpoint(Answer(await http.json(request)))


def _wire_retention(policy: object) -> dict[str, object] | None:
    if policy is None:
        return None
    if not isinstance(policy, RetentionPolicy):
        hint = 'Give RetentionPolicy("delete_oldest", max_count=5).'
        raise invalid_option(f"retention_policy is {policy!r}", hint)
    mode = check.text("retention_policy.mode", policy.mode)
    most = check.optional(check.whole, "retention_policy.max_count", policy.max_count)
    return without_none({"mode": mode, "maxCount": most})


async def list_checkpoints(http: HttpClient, path: str, request_timeout: float | None) -> list[CheckpointInfo]:
    """See ``Sandbox.list_checkpoints``."""
    request = Request("GET", f"{path}/checkpoints", timeout=request_timeout)
    return [read_checkpoint(answer) for answer in answers(await http.json(request))]


async def restore_checkpoint(http: HttpClient, path: str, checkpoint_id: str, request_timeout: float | None) -> Answer:
    """See ``Sandbox.restore_checkpoint``; returns the server's new data about the sandbox."""
    route = f"{path}/checkpoints/{checkpoint_segment(checkpoint_id)}/restore"
    await http.json(change(route, {}, request_timeout))
    return Answer(await http.json(Request("GET", path, timeout=request_timeout)))


async def delete_checkpoint(http: HttpClient, path: str, checkpoint_id: str, request_timeout: float | None) -> None:
    """See ``Sandbox.delete_checkpoint``."""
    route = f"{path}/checkpoints/{checkpoint_segment(checkpoint_id)}"
    await http.done(Request("DELETE", route, timeout=request_timeout))


async def post_fork(
    http: HttpClient,
    path: str,
    *,
    timeout: int | None,
    envs: Mapping[str, str] | None,
    metadata: Mapping[str, str] | None,
    count: int | None = None,
    name: str | None = None,
    request_timeout: float | None = None,
) -> Answer:
    """Requests forks; the form of the answer depends on ``count``."""
    body: dict[str, Any] = {
        "timeout": check.optional(check.count, "timeout", timeout),
        "envs": check.optional(check.text_map, "envs", envs),
        "metadata": check.optional(check.text_map, "metadata", metadata),
        "count": check.optional(check.positive, "count", count),
        "name": check.optional(check.text, "name", name),
    }
    return Answer(await http.json(change(path, body, request_timeout)))


async def set_public(checkpoint_id: str, verb: str, api_key: str | None, api_url: str | None) -> CheckpointInfo:
    """See ``Sandbox.publish_checkpoint``."""
    path = f"/sandboxes/checkpoints/{checkpoint_segment(checkpoint_id)}/{verb}"
    async with http_client(api_key, api_url) as http:
        return read_checkpoint(Answer(await http.json(Request("POST", path))))


async def pages(http: HttpClient, path: str, query: Mapping[str, str | None]) -> AsyncIterator[list[Answer]]:
    """A list with pages, page after page."""
    cursor = query.get("cursor")
    while True:
        value, headers = await http.json_with_headers(Request("GET", path, {**query, "cursor": cursor}))
        yield answers(value)
        cursor = headers.get("x-next-cursor")
        if cursor is None:
            return
