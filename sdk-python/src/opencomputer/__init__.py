"""Linux virtual machines from one call: the Python client of OpenComputer.

Everything is asynchronous here; ``opencomputer.sync`` has the same without ``await``.
"""

from .agent import Agent
from .agent_session import AgentEvent, AgentSession
from .checkpoints import CheckpointInfo, RetentionPolicy
from .config import Reconnect
from .errors import (
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
from .events import SandboxEvent
from .exec import Exec
from .exec_session import ExecOutput, ExecSession
from .files import EntryInfo, Filesystem
from .listing import SandboxPage
from .patches import PatchInfo
from .pty import Pty, PtySession
from .run import ProcessResult
from .sandbox import Sandbox, SandboxList
from .sandbox_info import KeptAwakeBy, SandboxInfo
from .sessions import AgentSessionInfo, ExecSessionInfo
from .shell import Shell
from .upload import FileContent

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
