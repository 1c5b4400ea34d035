"""URLs that read or write one file without a key."""

from __future__ import annotations

from typing import Literal

from . import check
from .answers import Answer
from .http import HttpClient, Request


async def sign_url(
    http: HttpClient,
    sandbox: str,
    route: Literal["download-url", "upload-url"],
    path: str,
    expires_in: int | None,
    request_timeout: float | None,
) -> str:
    """See ``Sandbox.download_url`` and ``Sandbox.upload_url``."""
    body = {
        "path": check.text("path", path),
        "expiresIn": check.optional(check.positive, "expires_in", expires_in),
    }
    request = Request("POST", f"{sandbox}/files/{route}", json=body, timeout=request_timeout)
    return Answer(await http.json(request)).text("url")
