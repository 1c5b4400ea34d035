"""The same as ``opencomputer``, without ``await``: each call waits in the thread that makes it.

For any thread, and also where an event loop runs already, as in a notebook. The work is done by an event
loop in a thread of its own; Ctrl-C aborts the call that is waited for. Written by scripts/generate_sync.py.
"""

from ..agent_session import AgentEvent
from ..checkpoints import CheckpointInfo, RetentionPolicy
from ..config import Reconnect
from ..errors import (
    AuthenticationError,
    CapacityError,
    ConflictError,
    ConnectionError,
    ExecTimeoutError,
    FileNotFoundError,
    InvalidRequestError,
    LimitError,
    NotFoundError,
    OpenComputerError,
    SandboxNotFoundError,
    SandboxStoppedError,
    ServerError,
    ShellBusyError,
    ShellClosedError,
    TimeoutError,
)
from ..events import SandboxEvent
from ..exec_session import ExecOutput
from ..files import EntryInfo
from ..listing import SandboxPage
from ..patches import PatchInfo
from ..run import ProcessResult
from ..sandbox_info import KeptAwakeBy, SandboxInfo
from ..sessions import AgentSessionInfo, ExecSessionInfo
from ..upload import FileContent
from .agent import Agent
from .agent_session import AgentSession
from .exec import Exec
from .exec_session import ExecSession
from .files import Filesystem
from .pty import Pty, PtySession
from .sandbox import Sandbox, SandboxList
from .shell import Shell

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentSession",
    "AgentSessionInfo",
    "AuthenticationError",
    "CapacityError",
    "CheckpointInfo",
    "ConflictError",
    "ConnectionError",
    "EntryInfo",
    "Exec",
    "ExecOutput",
    "ExecSession",
    "ExecSessionInfo",
    "ExecTimeoutError",
    "FileContent",
    "FileNotFoundError",
    "Filesystem",
    "InvalidRequestError",
    "KeptAwakeBy",
    "LimitError",
    "NotFoundError",
    "OpenComputerError",
    "PatchInfo",
    "ProcessResult",
    "Pty",
    "PtySession",
    "Reconnect",
    "RetentionPolicy",
    "Sandbox",
    "SandboxEvent",
    "SandboxInfo",
    "SandboxList",
    "SandboxNotFoundError",
    "SandboxPage",
    "SandboxStoppedError",
    "ServerError",
    "Shell",
    "ShellBusyError",
    "ShellClosedError",
    "TimeoutError",
]
