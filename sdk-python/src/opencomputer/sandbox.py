"""A Linux virtual machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from . import check
from .agent import Agent
from .answers import Answer, answers
from .checkpoints import (
    CheckpointInfo,
    RetentionPolicy,
    checkpoint_segment,
    create_checkpoint,
    delete_checkpoint,
    list_checkpoints,
    pages,
    post_fork,
    read_checkpoint,
    restore_checkpoint,
    set_public,
)
from .config import Reconnect, resolve_connection
from .errors import SandboxNotFoundError, unexpected_answer
from .events import SandboxEvent, events
from .exec import Exec
from .files import Filesystem
from .http import HttpClient, Request, http_client
from .listing import SandboxPage
from .patches import PatchInfo, create_patch, delete_patch, list_patches
from .power import hibernate, power_cycle, reboot, wake
from .pty import Pty
from .sandbox_info import SandboxInfo, read_sandbox_info, sandbox_path
from .sessions import SessionApi
from .signed_url import sign_url

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

# A template or shape that the host has not used yet is prepared first.
_create_timeout = 300.0


class Sandbox:
    """A Linux virtual machine. Get one with ``Sandbox.create`` or ``Sandbox.connect``.

    As an asynchronous context manager it is killed at the end of the block.

    Attributes:
        exec: Runs commands.
        files: Reads and writes files.
        pty: Opens terminals.
        agent: Starts coding agents.

    Example:
        ```python
        async with await Sandbox.create() as sandbox:
            result = await sandbox.exec.run("uname -a")
        ```
    """

    exec: Exec
    files: Filesystem
    pty: Pty
    agent: Agent

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
        sessions = SessionApi(http, self._path)
        self.exec = Exec(http, self._path, sessions)
        self.files = Filesystem(http, self._path)
        self.pty = Pty(sessions)
        self.agent = Agent(sessions)

    @classmethod
    async def create(
        cls,
        template: str = "base",
        timeout: int = 300,
        api_key: str | None = None,
        api_url: str | None = None,
        envs: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        *,
        cpu_count: int | None = None,
        memory_mb: int | None = None,
        disk_mb: int | None = None,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> Sandbox:
        """Creates a sandbox. It runs and takes commands when this returns.

        Args:
            template: Template of the root file system.
            timeout: Idle timeout in seconds; every use restarts it. 0: never.
            api_key: Default: the environment variable ``OPENCOMPUTER_API_KEY``; without either no key is sent.
            api_url: Address of the server. Default: ``OPENCOMPUTER_API_URL``, else ``http://127.0.0.1:8080``.
            envs: Environment variables of every command.
            metadata: Key-value pairs of your own, stored with the sandbox; ``Sandbox.list`` filters by them.
            cpu_count: Virtual CPUs, 1 to 4. Default: the server's, 1.
            memory_mb: Memory in MiB, 128 to 2048 unless the server allows more. Default: the server's, 1024.
            disk_mb: Root disk in MiB. Default: the server's, 20480.
            reconnect: How sessions come back after a lost connection; False: not at all.
            request_timeout: Seconds that an attempt of a call may take, here and in the sandbox's own calls;
                0: no limit. Default 60, for starts and saves of machines 300.

        Raises:
            AuthenticationError: The key is missing or wrong.
            InvalidRequestError: A parameter is out of range; the message names it.
            NotFoundError: There is no such template.
            LimitError: You have as many sandboxes as you may; CapacityError when the host is full.
            ConnectionError: No server answers at ``api_url``.

        Example:
            ```python
            sandbox = await Sandbox.create(cpu_count=2, memory_mb=1024, metadata={"project": "x"})
            ```
        """
        body = {
            "templateID": check.text("template", template),
            "timeout": check.count("timeout", timeout),
            "envs": check.optional(check.text_map, "envs", envs),
            "metadata": check.optional(check.text_map, "metadata", metadata),
            "cpuCount": check.optional(check.positive, "cpu_count", cpu_count),
            "memoryMB": check.optional(check.positive, "memory_mb", memory_mb),
            "diskMB": check.optional(check.positive, "disk_mb", disk_mb),
        }
        http = HttpClient(resolve_connection(api_key, api_url, request_timeout, reconnect))
        request = Request("POST", "/sandboxes", json=body, default_timeout=_create_timeout)
        return cls(http, Answer(await _ask(http, request)))

    @classmethod
    async def connect(
        cls,
        sandbox_id: str,
        api_key: str | None = None,
        api_url: str | None = None,
        *,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> Sandbox:
        """Connects to a sandbox that exists, e.g. from another process. It may have stopped: look at ``status``.

        Args:
            sandbox_id: Its id.
            api_key: As for ``create``.
            api_url: As for ``create``.
            reconnect: As for ``create``.
            request_timeout: As for ``create``.

        Raises:
            SandboxNotFoundError: No sandbox of this key has the id.
            AuthenticationError: The key is missing or wrong.
            ConnectionError: No server answers.

        Example:
            ```python
            sandbox = await Sandbox.connect("sb-0a1b2c3d")
            ```
        """
        path = sandbox_path(sandbox_id)
        http = HttpClient(resolve_connection(api_key, api_url, request_timeout, reconnect))
        return cls(http, Answer(await _ask(http, Request("GET", path))))

    @classmethod
    def list(
        cls,
        status: Literal["running", "hibernated", "stopped", "error", "all"] | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        api_key: str | None = None,
        api_url: str | None = None,
        *,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> SandboxList:
        """Lists the sandboxes of this key, newest first; pages are fetched while you iterate.

        Args:
            status: Only sandboxes of this status. Default: all that have not stopped.
            metadata: Only sandboxes whose metadata holds all of these.
            limit: Sandboxes per page, at most 1000. Default 200.
            cursor: Begins with this page: ``next_cursor`` of the one before.
            api_key: As for ``create``.
            api_url: As for ``create``.
            reconnect: As for ``create``.
            request_timeout: As for ``create``.

        Raises:
            AuthenticationError: The key is missing or wrong; raised while iterating.
            InvalidRequestError: A filter cannot be; raised while iterating.

        Example:
            ```python
            async for sandbox in Sandbox.list(metadata={"project": "x"}):
                await sandbox.kill()
            ```
        """
        connection = resolve_connection(api_key, api_url, request_timeout, reconnect)
        most = check.optional(check.whole, "limit", limit)
        filters = check.optional(check.text_map, "metadata", metadata) or {}
        query = {
            "status": check.optional(check.text, "status", status),
            "limit": None if most is None else str(most),
            **{f"metadata[{key}]": value for key, value in filters.items()},
        }

        async def fetch(page: str | None) -> SandboxPage[Sandbox]:
            http = HttpClient(connection)
            request = Request("GET", "/sandboxes", {**query, "cursor": page})
            try:
                value, headers = await http.json_with_headers(request)
            finally:
                await http.close()
            sandboxes: builtins.list[Sandbox] = [cls(HttpClient(connection), data) for data in answers(value)]
            return SandboxPage(sandboxes, headers.get("x-next-cursor"))

        return SandboxList(fetch, check.optional(check.text, "cursor", cursor))

    @classmethod
    async def create_from_checkpoint(
        cls,
        checkpoint_id: str,
        timeout: int | None = None,
        api_key: str | None = None,
        api_url: str | None = None,
        envs: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        *,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> Sandbox:
        """Creates a sandbox from a checkpoint: its disk, and for a full one its memory and running processes.

        It has an identity of its own; connections to the outside are lost. Waits for a checkpoint that is being
        written.

        Args:
            checkpoint_id: Of the checkpoint.
            timeout: Idle timeout in seconds; 0: never. Default 300.
            api_key: As for ``create``.
            api_url: As for ``create``.
            envs: Added to those of the checkpoint, which they override.
            metadata: Added to those of the checkpoint, which they override.
            reconnect: As for ``create``.
            request_timeout: As for ``create``.

        Raises:
            NotFoundError: No checkpoint that you may fork has the id.
            ConflictError: It has failed.
            LimitError: As for ``create``; CapacityError likewise.

        Example:
            ```python
            copy = await Sandbox.create_from_checkpoint(checkpoint.id, envs={"SEED": "2"})
            ```
        """
        path = _fork_path(checkpoint_id)
        http = HttpClient(resolve_connection(api_key, api_url, request_timeout, reconnect))
        try:
            answer = await post_fork(http, path, timeout=timeout, envs=envs, metadata=metadata)
        except BaseException:
            await http.close()
            raise
        return cls(http, answer)

    @classmethod
    async def fork_checkpoint(
        cls,
        checkpoint_id: str,
        count: int = 1,
        timeout: int | None = None,
        api_key: str | None = None,
        api_url: str | None = None,
        envs: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        *,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> builtins.list[Sandbox]:
        """Creates any number of sandboxes from a checkpoint, all or none.

        Args:
            checkpoint_id: Of the checkpoint.
            count: How many, 1 to 50.
            timeout: As for ``create_from_checkpoint``.
            api_key: As for ``create``.
            api_url: As for ``create``.
            envs: As for ``create_from_checkpoint``.
            metadata: As for ``create_from_checkpoint``.
            reconnect: As for ``create``.
            request_timeout: As for ``create``.

        Raises:
            NotFoundError: No checkpoint that you may fork has the id.
            ConflictError: It has failed.
            LimitError: You may not have that many; CapacityError when the host has no room.

        Example:
            ```python
            workers = await Sandbox.fork_checkpoint(checkpoint.id, count=3)
            ```
        """
        path = _fork_path(checkpoint_id)
        connection = resolve_connection(api_key, api_url, request_timeout, reconnect)
        http = HttpClient(connection)
        try:
            answer = await post_fork(
                http,
                path,
                timeout=timeout,
                envs=envs,
                metadata=metadata,
                count=check.positive("count", count),
            )
        finally:
            await http.close()
        return [cls(HttpClient(connection), Answer(data)) for data in answer.items("sandboxes")]

    async def fork(
        self,
        count: int = 1,
        name: str | None = None,
        timeout: int | None = None,
        envs: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        *,
        request_timeout: float | None = None,
    ) -> builtins.list[Sandbox]:
        """Takes a checkpoint of this sandbox, which goes on, and creates sandboxes from it: all or none.

        Args:
            count: How many, 1 to 50.
            name: Keeps the checkpoint under this name; without one it is deleted once the forks exist.
            timeout: Idle timeout of the forks in seconds; 0: never. Default 300.
            envs: Added to those of this sandbox, which they override.
            metadata: Added to those of this sandbox, which they override.
            request_timeout: Seconds after which it fails. Default 300.

        Raises:
            SandboxStoppedError: It has ended.
            LimitError: You may not have that many; CapacityError when the host has no room.
            ConflictError: The name is taken.

        Example:
            ```python
            left, right = await sandbox.fork(count=2)
            ```
        """
        answer = await post_fork(
            self._http,
            f"{self._path}/fork",
            timeout=timeout,
            envs=envs,
            metadata=metadata,
            count=check.positive("count", count),
            name=name,
            request_timeout=request_timeout,
        )
        connection = self._http.connection
        return [Sandbox(HttpClient(connection), Answer(data)) for data in answer.items("sandboxes")]

    @staticmethod
    async def create_checkpoint_patch(
        checkpoint_id: str,
        script: str,
        description: str = "",
        api_key: str | None = None,
        api_url: str | None = None,
    ) -> PatchInfo:
        """Adds a script that sandboxes run, once each and in order, when they are forked from the checkpoint.

        Those that were forked before run it when they wake. The first failure ends it and is the
        ``info.patch_error`` of the sandbox.

        Args:
            checkpoint_id: Of the checkpoint.
            script: Run with ``bash -c``, for 300 seconds at most.
            description: What it is for.
            api_key: As for ``create``.
            api_url: As for ``create``.

        Raises:
            NotFoundError: No checkpoint of yours has the id.
            InvalidRequestError: The script is empty.

        Example:
            ```python
            patch = await Sandbox.create_checkpoint_patch(checkpoint.id, "cd /app && git pull")
            ```
        """
        return await create_patch(checkpoint_id, script, description, api_key, api_url)

    @staticmethod
    async def list_checkpoint_patches(
        checkpoint_id: str, api_key: str | None = None, api_url: str | None = None
    ) -> builtins.list[PatchInfo]:
        """Lists the patches of a checkpoint in their order.

        Args:
            checkpoint_id: Of the checkpoint.
            api_key: As for ``create``.
            api_url: As for ``create``.

        Raises:
            NotFoundError: No checkpoint of yours has the id.

        Example:
            ```python
            patches = await Sandbox.list_checkpoint_patches(checkpoint.id)
            ```
        """
        return await list_patches(checkpoint_id, api_key, api_url)

    @staticmethod
    async def delete_checkpoint_patch(
        checkpoint_id: str, patch_id: str, api_key: str | None = None, api_url: str | None = None
    ) -> None:
        """Removes a patch; sandboxes that have run it stay as they are.

        Args:
            checkpoint_id: Of the checkpoint.
            patch_id: Of the patch.
            api_key: As for ``create``.
            api_url: As for ``create``.

        Raises:
            NotFoundError: There is no such patch.

        Example:
            ```python
            for patch in await Sandbox.list_checkpoint_patches(checkpoint.id):
                await Sandbox.delete_checkpoint_patch(checkpoint.id, patch.id)
            ```
        """
        await delete_patch(checkpoint_id, patch_id, api_key, api_url)

    @staticmethod
    async def list_all_checkpoints(
        api_key: str | None = None, api_url: str | None = None
    ) -> AsyncIterator[CheckpointInfo]:
        """Lists all your checkpoints, newest first, each with its parent and its forks.

        Pages are fetched as needed.

        Args:
            api_key: As for ``create``.
            api_url: As for ``create``.

        Raises:
            AuthenticationError: The key is missing or wrong; raised while iterating.

        Example:
            ```python
            async for checkpoint in Sandbox.list_all_checkpoints():
                print(checkpoint.name, checkpoint.forks)
            ```
        """
        async with http_client(api_key, api_url) as http:
            async for page in pages(http, "/checkpoints", {}):
                for answer in page:
                    yield read_checkpoint(answer)

    @staticmethod
    async def publish_checkpoint(
        checkpoint_id: str, api_key: str | None = None, api_url: str | None = None
    ) -> CheckpointInfo:
        """Lets every key of the installation fork a checkpoint, with its memory and environment.

        Args:
            checkpoint_id: Of the checkpoint.
            api_key: As for ``create``.
            api_url: As for ``create``.

        Raises:
            NotFoundError: No checkpoint of yours has the id.

        Example:
            ```python
            await Sandbox.publish_checkpoint(checkpoint.id)
            ```
        """
        return await set_public(checkpoint_id, "publish", api_key, api_url)

    @staticmethod
    async def unpublish_checkpoint(
        checkpoint_id: str, api_key: str | None = None, api_url: str | None = None
    ) -> CheckpointInfo:
        """Lets only the owner fork a checkpoint again; forks that others have made stay.

        Args:
            checkpoint_id: Of the checkpoint.
            api_key: As for ``create``.
            api_url: As for ``create``.

        Raises:
            NotFoundError: No checkpoint of yours has the id.

        Example:
            ```python
            await Sandbox.unpublish_checkpoint(checkpoint.id)
            ```
        """
        return await set_public(checkpoint_id, "unpublish", api_key, api_url)

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

    @property
    def commands(self) -> Exec:
        """Another name of ``exec``."""
        return self.exec

    @property
    def template(self) -> str:
        """Template of the root file system."""
        return self._info.template

    @property
    def metadata(self) -> Mapping[str, str]:
        """The key-value pairs given to ``create``."""
        return self._info.metadata

    @property
    def domain(self) -> str:
        """Host name under which port 80 is reachable; empty when the server has no preview domain."""
        return self.get_preview_domain(80)

    def get_preview_domain(self, port: int) -> str:
        """Host name under which a port is reachable; empty when the server has no preview domain.

        Args:
            port: The port in the sandbox.

        Example:
            ```python
            host = sandbox.get_preview_domain(3000)
            ```
        """
        suffix = self._data.optional_text("sandboxDomain")
        return f"{self._sandbox_id}-p{check.count('port', port)}.{suffix}" if suffix else ""

    async def is_running(self, *, request_timeout: float | None = None) -> bool:
        """Asks whether it runs, and updates ``status`` and ``info``. False when it has ended or does not exist.

        Args:
            request_timeout: Seconds after which it fails.

        Raises:
            ConnectionError: It cannot be found out, which is not "no"; likewise AuthenticationError and TimeoutError.

        Example:
            ```python
            if not await sandbox.is_running():
                print(sandbox.info.status_reason)
            ```
        """
        try:
            self._replace(Answer(await self._http.json(Request("GET", self._path, timeout=request_timeout))))
        except SandboxNotFoundError:
            self._update(status="stopped")
        return self.status == "running"

    async def set_timeout(self, timeout: int, *, request_timeout: float | None = None) -> None:
        """Sets the idle timeout and restarts its clock.

        Args:
            timeout: Seconds; 0 means never.
            request_timeout: Seconds after which the call fails.

        Raises:
            SandboxStoppedError: It has ended.
            SandboxNotFoundError: It does not exist.

        Example:
            ```python
            await sandbox.set_timeout(600)
            ```
        """
        body = {"timeout": check.count("timeout", timeout)}
        await self._http.done(Request("POST", f"{self._path}/timeout", json=body, timeout=request_timeout))
        self._update(timeout=timeout)

    async def kill(self, *, request_timeout: float | None = None) -> None:
        """Ends the sandbox and deletes its disk. Killing it again is fine.

        Args:
            request_timeout: Seconds after which it fails.

        Raises:
            SandboxNotFoundError: It does not exist.

        Example:
            ```python
            await sandbox.kill()
            ```
        """
        await self._http.done(Request("DELETE", self._path, timeout=request_timeout))
        self._update(status="stopped")

    async def hibernate(self, *, request_timeout: float | None = None) -> None:
        """Saves memory and processes to disk; nothing of it runs until any use, or ``wake``, wakes it.

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
        await hibernate(self._http, self._path, request_timeout)
        self._update(status="hibernated")

    async def wake(self, timeout: int | None = None, *, request_timeout: float | None = None) -> None:
        """Wakes it with its memory and processes; one in error is started from its disk.

        A running one stays as it is. Where its memory cannot be restored it is started from its disk, and
        ``info.cold_boot_reason`` says why.

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
        self._replace(await wake(self._http, self._path, timeout, request_timeout))

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
        await reboot(self._http, self._path, request_timeout)
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
        await power_cycle(self._http, self._path, request_timeout)
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
            require_quiesced: Fail where the guest does not pause its work and write out its file system in time,
                instead of saving it as it is.
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
        return await create_checkpoint(
            self._http, self._path, name, kind, promote_to_full, retention_policy, require_quiesced, request_timeout
        )

    async def list_checkpoints(self, *, request_timeout: float | None = None) -> builtins.list[CheckpointInfo]:
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
        return await list_checkpoints(self._http, self._path, request_timeout)

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
        self._replace(await restore_checkpoint(self._http, self._path, checkpoint_id, request_timeout))

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
        await delete_checkpoint(self._http, self._path, checkpoint_id, request_timeout)

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
        async for event in events(self._http, self._path):
            yield event

    async def download_url(
        self, path: str, *, expires_in: int | None = None, request_timeout: float | None = None
    ) -> str:
        """Makes a URL under which anyone can GET the file, without a key.

        Args:
            path: The file.
            expires_in: Seconds until the URL stops working, at most 86,400. Default 3600.
            request_timeout: Seconds after which it fails.

        Raises:
            InvalidRequestError: The path is invalid.

        Example:
            ```python
            url = await sandbox.download_url("/app/report.pdf", expires_in=600)
            ```
        """
        return await sign_url(self._http, self._path, "download-url", path, expires_in, request_timeout)

    async def upload_url(
        self, path: str, *, expires_in: int | None = None, request_timeout: float | None = None
    ) -> str:
        """Makes a URL to which anyone can PUT the content of the file, without a key.

        Args:
            path: The file.
            expires_in: Seconds until the URL stops working, at most 86,400. Default 3600.
            request_timeout: Seconds after which it fails.

        Raises:
            InvalidRequestError: The path is invalid.

        Example:
            ```python
            url = await sandbox.upload_url("/app/input.csv")
            ```
        """
        return await sign_url(self._http, self._path, "upload-url", path, expires_in, request_timeout)

    async def close(self) -> None:
        """Releases the connections to the server; the sandbox goes on. Using it again afterwards is fine.

        Example:
            ```python
            await sandbox.close()
            ```
        """
        await self._http.close()

    async def __aenter__(self) -> Sandbox:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.kill()
        finally:
            await self.close()

    def _replace(self, data: Answer) -> None:
        self._data = data
        self._info = read_sandbox_info(data)

    def _update(self, **members: object) -> None:
        self._replace(Answer({**self._data.members, **members}))


class SandboxList:
    """Sandboxes, newest first; iterate over it. Pages are fetched as they are needed."""

    def __init__(
        self, fetch_page: Callable[[str | None], Awaitable[SandboxPage[Sandbox]]], first_cursor: str | None
    ) -> None:
        """Internal: use ``Sandbox.list``."""
        self._fetch_page = fetch_page
        self._first_cursor = first_cursor

    async def __aiter__(self) -> AsyncIterator[Sandbox]:
        """The sandboxes one by one."""
        async for page in self.pages():
            for sandbox in page.sandboxes:
                yield sandbox

    async def pages(self) -> AsyncIterator[SandboxPage[Sandbox]]:
        """The list page by page.

        Example:
            ```python
            async for page in Sandbox.list(limit=50).pages():
                print(len(page.sandboxes), page.next_cursor)
            ```
        """
        cursor = self._first_cursor
        while True:
            page = await self._fetch_page(cursor)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return


async def _ask(http: HttpClient, request: Request) -> object:
    """The answer; where there is none, nothing of the client stays open."""
    try:
        return await http.json(request)
    except BaseException:
        await http.close()
        raise


def _fork_path(checkpoint_id: str) -> str:
    return f"/sandboxes/from-checkpoint/{checkpoint_segment(checkpoint_id)}"
