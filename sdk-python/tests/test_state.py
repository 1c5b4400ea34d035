from __future__ import annotations

import pprint
from datetime import datetime, timezone

import pytest

from opencomputer import (
    CapacityError,
    ConnectionError,
    InvalidRequestError,
    KeptAwakeBy,
    RetentionPolicy,
    Sandbox,
    SandboxNotFoundError,
    ServerError,
)

from .support.http_server import Exchange, SeenRequest, TestServer, always, wire_sandbox
from .support.routes import routed, sandbox_at

uuid = "5655f042-1a65-43df-8ddf-e1f5231d62fa"
wire_checkpoint = {
    "id": uuid,
    "sandboxId": "sb-0a1b2c3d",
    "name": "ready",
    "kind": "full",
    "status": "ready",
    "sizeBytes": 5,
    "createdAt": "2026-01-02T03:04:05Z",
    "sandboxConfig": {"template": "base", "cpuCount": 2},
    "forks": [{"sandboxID": "sb-1"}],
}


async def test_tells_what_is_known() -> None:
    with TestServer(routed()) as server:
        sandbox = await sandbox_at(server)
    assert sandbox.info.started_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert sandbox.info.end_at is None
    assert (sandbox.template, sandbox.metadata, sandbox.info.memory_mb) == ("base", {"project": "x"}, 1024)
    assert sandbox.domain == "sb-0a1b2c3d-p80.preview.test"
    assert sandbox.get_preview_domain(3000) == "sb-0a1b2c3d-p3000.preview.test"
    assert repr(sandbox) == "<Sandbox sb-0a1b2c3d running>"


async def test_tells_what_kept_it_awake() -> None:
    kept = {"sessionID": "es-1", "command": "make", "sessions": 2, "at": "2026-01-02T03:04:05Z"}
    with TestServer(always(200, {**wire_sandbox, "keptAwakeBy": kept})) as server:
        sandbox = await sandbox_at(server)
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert sandbox.info.kept_awake_by == KeptAwakeBy(session_id="es-1", command="make", sessions=2, at=at)


async def test_the_end_of_the_block_kills_also_after_an_error() -> None:
    with TestServer(routed()) as server:
        async with await sandbox_at(server) as sandbox:
            pass
        assert sandbox.status == "stopped"
        with pytest.raises(ZeroDivisionError):
            async with await sandbox_at(server):
                raise ZeroDivisionError
    assert [request.method for request in server.seen] == ["GET", "DELETE", "GET", "DELETE"]


async def test_is_running_is_no_for_what_has_gone_and_an_error_when_nobody_knows() -> None:
    gone = False

    def handle(_request: SeenRequest, exchange: Exchange) -> None:
        if gone:
            exchange.send_json(404, {"error": "sandbox not found", "code": "sandbox_not_found"})
        else:
            exchange.send_json(200, {**wire_sandbox, "status": "hibernated", "statusReason": "idle"})

    with TestServer(handle) as server:
        sandbox = await sandbox_at(server)
        assert not await sandbox.is_running()
        assert sandbox.info.status_reason == "idle"
        gone = True
        assert not await sandbox.is_running()
        assert sandbox.status == "stopped"
        with pytest.raises(SandboxNotFoundError):
            await sandbox_at(server)
    with pytest.raises(ConnectionError):
        await sandbox.is_running()


async def test_changes_of_state() -> None:
    woken = (200, {**wire_sandbox, "startedFrom": "disk", "coldBootReason": "other processor"})
    done: tuple[int, object] = (200, {})
    with TestServer(
        routed(POST_hibernate=done, POST_wake=woken, POST_reboot=done, POST_power_cycle=done, POST_timeout=done)
    ) as server:
        sandbox = await sandbox_at(server)
        await sandbox.hibernate()
        assert sandbox.status == "hibernated"
        await sandbox.wake(60)
        assert (sandbox.status, sandbox.info.cold_boot_reason) == ("running", "other processor")
        await sandbox.wake()
        await sandbox.reboot()
        await sandbox.power_cycle()
        await sandbox.set_timeout(0)
        assert sandbox.info.timeout == 0
    told = [(request.path.rpartition("/")[2], request.json) for request in server.seen[1:]]
    assert told == [
        ("hibernate", {}),
        ("wake", {"timeout": 60}),
        ("wake", {}),
        ("reboot", {}),
        ("power-cycle", {}),
        ("timeout", {"timeout": 0}),
    ]


async def test_a_change_that_fails_after_its_header_went_out_is_a_failure() -> None:
    late = {"error": "the disk is full", "code": "no_space", "hint": "Free something.", "requestId": "r-1"}
    with TestServer(routed(POST_hibernate=(200, late))) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(CapacityError) as caught:
            await sandbox.hibernate()
    assert (caught.value.code, caught.value.request_id) == ("no_space", "r-1")
    assert sandbox.status == "running"


async def test_checkpoints() -> None:
    routes = routed(
        POST_checkpoints=(201, {**wire_checkpoint, "status": "processing"}),
        GET_checkpoints=(200, [{**wire_checkpoint, "quiesced": False}]),
        **{f"POST_checkpoints_{uuid}_restore".replace("-", "_"): (200, {"status": "restoring"})},
    )
    with TestServer(routes) as server:
        sandbox = await sandbox_at(server)
        policy = RetentionPolicy("delete_oldest", 3)
        made = await sandbox.create_checkpoint(
            "ready", "disk_only", promote_to_full=True, retention_policy=policy, require_quiesced=True
        )
        assert (made.id, made.status, made.cpu_count, made.forks) == (uuid, "processing", 2, ("sb-1",))
        assert (made["sandboxId"], made.raw["sizeBytes"]) == ("sb-0a1b2c3d", 5)
        [listed] = await sandbox.list_checkpoints()
        assert (listed.status, listed.quiesced) == ("ready", False)
        await sandbox.restore_checkpoint(uuid)
        await sandbox.delete_checkpoint(uuid)
    assert server.seen[1].json == {
        "name": "ready",
        "kind": "disk_only",
        "promoteToFull": True,
        "requireQuiesced": True,
        "retentionPolicy": {"mode": "delete_oldest", "maxCount": 3},
    }
    assert [request.method for request in server.seen[3:]] == ["POST", "GET", "DELETE"]


async def test_forks() -> None:
    def handle(request: SeenRequest, exchange: Exchange) -> None:
        count = request.json.get("count")
        forks = [{**wire_sandbox, "sandboxID": f"sb-{n}"} for n in range(count or 1)]
        exchange.send_json(201, forks[0] if count is None else {"sandboxes": forks})

    with TestServer(handle) as server:
        one = await Sandbox.create_from_checkpoint(uuid, 600, api_url=server.url, envs={"SEED": "2"})
        many = await Sandbox.fork_checkpoint(uuid, 3, api_url=server.url, metadata={"a": "b"})
        more = await one.fork(2, "kept", timeout=0)
        assert [sandbox.id for sandbox in (one, *many, *more)] == ["sb-0", "sb-0", "sb-1", "sb-2", "sb-0", "sb-1"]
    path = f"/api/sandboxes/from-checkpoint/{uuid}"
    assert [(request.path, request.json) for request in server.seen] == [
        (path, {"timeout": 600, "envs": {"SEED": "2"}}),
        (path, {"metadata": {"a": "b"}, "count": 3}),
        ("/api/sandboxes/sb-0/fork", {"timeout": 0, "count": 2, "name": "kept"}),
    ]


async def test_patches_and_publication() -> None:
    wire_patch = {"id": uuid, "checkpointId": uuid, "sequence": 1, "script": "true", "createdAt": None}

    def handle(request: SeenRequest, exchange: Exchange) -> None:
        if request.path.endswith("publish"):
            exchange.send_json(200, {**wire_checkpoint, "isPublic": not request.path.endswith("unpublish")})
        elif request.method == "POST":
            exchange.send_json(201, {"patch": wire_patch})
        elif request.method == "GET":
            exchange.send_json(200, [wire_patch])
        else:
            exchange.send(204)

    with TestServer(handle) as server:
        patch = await Sandbox.create_checkpoint_patch(uuid, "true", "why", "osb_key", server.url)
        assert (patch.script, patch["checkpointId"]) == ("true", uuid)
        assert await Sandbox.list_checkpoint_patches(uuid, api_url=server.url) == [patch]
        await Sandbox.delete_checkpoint_patch(uuid, patch.id, api_url=server.url)
        assert (await Sandbox.publish_checkpoint(uuid, api_url=server.url)).is_public
        assert not (await Sandbox.unpublish_checkpoint(uuid, api_url=server.url)).is_public
    assert server.seen[0].json == {"script": "true", "description": "why"}
    assert server.seen[0].path == f"/api/sandboxes/checkpoints/{uuid}/patches"


async def test_lists_page_by_page() -> None:
    def handle(request: SeenRequest, exchange: Exchange) -> None:
        page = int(request.query.get("cursor", ["1"])[0])
        headers = {"X-Next-Cursor": str(page + 1)} if page < 3 else {}
        if request.path.endswith("/checkpoints"):
            exchange.send_json(200, [wire_checkpoint], headers)
        elif request.path.endswith("/events"):
            event = {"id": page, "time": "2026-01-02T03:04:05Z", "actor": "client", "kind": "create"}
            exchange.send_json(200, [event], headers)
        else:
            exchange.send_json(200, [{**wire_sandbox, "sandboxID": f"sb-{page}"}], headers)

    with TestServer(handle) as server:
        listing = Sandbox.list("all", {"a b": "c&d"}, 1, api_key="osb_key", api_url=server.url)
        assert [sandbox.id async for sandbox in listing] == ["sb-1", "sb-2", "sb-3"]
        assert [page.next_cursor async for page in listing.pages()] == ["2", "3", None]
        later = Sandbox.list(cursor="3", api_url=server.url)
        [sandbox] = [sandbox async for sandbox in later]
        assert [event.id async for event in sandbox.events()] == [1, 2, 3]
        everything = [checkpoint async for checkpoint in Sandbox.list_all_checkpoints(api_url=server.url)]
        assert [checkpoint.forks for checkpoint in everything] == [("sb-1",)] * 3
    assert server.seen[0].query == {"status": ["all"], "limit": ["1"], "metadata[a b]": ["c&d"]}


async def test_a_list_of_something_else_is_an_error() -> None:
    with TestServer(always(200, {"sandboxes": []})) as server:
        with pytest.raises(ServerError):
            [sandbox async for sandbox in Sandbox.list(api_url=server.url)]


@pytest.mark.parametrize("status", [400, 402, 418])
async def test_an_answer_without_a_code_is_judged_by_its_status(status: int) -> None:
    with TestServer(lambda _, exchange: exchange.send(status, b"of a proxy")) as server:
        with pytest.raises(InvalidRequestError, match="of a proxy") as caught:
            await Sandbox.create(api_url=server.url)
    assert caught.value.code == f"http_{status}"


async def test_nothing_that_is_printed_holds_the_key_or_the_token() -> None:
    def answer(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.send_json(200, {**wire_sandbox, "token": "the-token-itself"})

    with TestServer(answer) as server:
        sandbox = await Sandbox.connect("sb-0a1b2c3d", api_key="osb_the-key-itself", api_url=server.url)
        http = sandbox._http  # pyright: ignore[reportPrivateUsage]
        for value in (sandbox, vars(sandbox), sandbox.exec, vars(sandbox.files), http, vars(http), http.connection):
            assert "itself" not in repr(value)
            assert "itself" not in str(value)
            assert "itself" not in pprint.pformat(value)
