"""Scripts that forks of a checkpoint run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import check
from .answers import Answer, answers
from .checkpoints import checkpoint_segment
from .http import Request, http_client

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True)
class PatchInfo:
    """A script that forks of a checkpoint run once.

    Attributes:
        id: Its id, a UUID.
        checkpoint_id: The checkpoint.
        sequence: Its place in the order.
        script: What is run, by ``bash -c``.
        description: What it is for.
        strategy: When it is run: ``on_wake``.
        created_at: When it was added.
        raw: The server's data, under its own names; also as ``patch["createdAt"]``.
    """

    id: str
    checkpoint_id: str
    sequence: int
    script: str
    description: str
    strategy: str
    created_at: datetime | None
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)

    def __getitem__(self, name: str) -> Any:
        return self.raw[name]


def _read_patch(answer: Answer) -> PatchInfo:
    return PatchInfo(
        id=answer.text("id"),
        checkpoint_id=answer.text("checkpointId"),
        sequence=answer.whole("sequence"),
        script=answer.text("script"),
        description=answer.text("description", ""),
        strategy=answer.text("strategy", "on_wake"),
        created_at=answer.optional_time("createdAt"),
        raw=answer.members,
    )


def _patches_path(checkpoint_id: str) -> str:
    return f"/sandboxes/checkpoints/{checkpoint_segment(checkpoint_id)}/patches"


async def create_patch(
    checkpoint_id: str, script: str, description: str, api_key: str | None, api_url: str | None
) -> PatchInfo:
    """See ``Sandbox.create_checkpoint_patch``."""
    body = {"script": check.text("script", script), "description": check.text("description", description)}
    request = Request("POST", _patches_path(checkpoint_id), json=body)
    async with http_client(api_key, api_url) as http:
        answer = Answer(await http.json(request))
    return _read_patch(Answer(answer.members.get("patch")))


async def list_patches(checkpoint_id: str, api_key: str | None, api_url: str | None) -> list[PatchInfo]:
    """See ``Sandbox.list_checkpoint_patches``."""
    request = Request("GET", _patches_path(checkpoint_id))
    async with http_client(api_key, api_url) as http:
        return [_read_patch(answer) for answer in answers(await http.json(request))]


async def delete_patch(checkpoint_id: str, patch_id: str, api_key: str | None, api_url: str | None) -> None:
    """See ``Sandbox.delete_checkpoint_patch``."""
    segment = check.segment("patch", patch_id, "Ids of patches are UUIDs.")
    async with http_client(api_key, api_url) as http:
        await http.done(Request("DELETE", f"{_patches_path(checkpoint_id)}/{segment}"))
