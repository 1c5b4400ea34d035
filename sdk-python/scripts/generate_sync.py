"""Writes ``opencomputer.sync``: for each class of the asynchronous client one that calls it and waits.

Signatures and descriptions are taken from the sources, so the two cannot differ. With ``--check`` nothing is written;
the exit code says whether the files are up to date.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

root = Path(__file__).parent.parent
package = root / "src" / "opencomputer"
target = package / "sync"

# Classes that have a counterpart, by the module in which they are.
modules: dict[str, list[str]] = {
    "exec_session": ["ExecSession"],
    "shell": ["Shell"],
    "exec": ["Exec"],
    "files": ["Filesystem"],
    "pty": ["PtySession", "Pty"],
    "agent_session": ["AgentSession"],
    "agent": ["Agent"],
    "sandbox": ["Sandbox", "SandboxList"],
}
home_of = {name: module for module, names in modules.items() for name in names}

special_methods = {"__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__"}

# In descriptions; the generator fails when a word of the asynchronous client is left.
phrases: list[tuple[str, str]] = [
    (r"async with await ", "with "),
    (r"async for ", "for "),
    (r"\bawait ", ""),
    (r"As an asynchronous context manager", "As a context manager"),
    (
        r"the events; asynchronous ones are awaited, and a slow one makes the command wait\. Exceptions of a callback"
        r" go to(\s+)the exception handler of the event loop\.",
        r"the events, in another thread, where they may use this package; a slow one makes the command wait. Exceptions"
        r"\1of a callback are logged.",
    ),
    (r"as an awaitable\.", "as a future."),
    (r" To be awaited like ``send_prompt``\.", ""),
    (
        r"It is sent at once\. Await the result to know that the agent has it, or leave it, e\.g\. in a callback\.",
        "It returns when the agent has it.",
    ),
    (r"or an iterable or(\s+)async iterable of bytes", r"or an iterable of\1bytes"),
]


@dataclass
class File:
    """A file to be written."""

    imports: dict[str, str] = field(default_factory=dict[str, str])
    sources: set[str] = field(default_factory=set[str])
    classes: list[str] = field(default_factory=list[str])


class Generator:
    """Makes the counterparts of one module's classes."""

    def __init__(self, module: str, file: File) -> None:
        self.module = module
        self.file = file
        self.tree = ast.parse((package / f"{module}.py").read_text())
        self.imports = dict(self._imports())

    def run(self) -> None:
        self.file.sources.add(self.module)
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef) and node.name in modules[self.module]:
                self.file.classes.append(self._class(node))

    def _imports(self) -> list[tuple[str, str]]:
        """Where the names of the module come from, as seen from the package of the counterparts."""
        found: list[tuple[str, str]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                origin = f".{'.' * node.level}{node.module or ''}" if node.level else node.module or ""
                found += [(alias.name, f"from {origin} import {alias.name}") for alias in node.names]
            elif isinstance(node, ast.Import):
                found += [(alias.name, f"import {alias.name}") for alias in node.names]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.append((node.target.id, f"from ..{self.module} import {node.target.id}"))
            elif isinstance(node, ast.ClassDef):
                found.append((node.name, f"from ..{self.module} import {node.name}"))
        return found

    def _use(self, *nodes: ast.expr | None) -> None:
        """Imports the names that a piece of a signature has."""
        for node in nodes:
            for part in ast.walk(node) if node is not None else ():
                if isinstance(part, ast.Name):
                    self._use_name(part.id)

    def _use_name(self, name: str) -> None:
        if name in home_of:
            self.file.imports[name] = f"from .{home_of[name]} import {name}"
        elif name in self.imports:
            self.file.imports[name] = self.imports[name]

    def _class(self, node: ast.ClassDef) -> str:
        bases = [ast.unparse(base) for base in node.bases]
        for base in node.bases:
            self._use(base)
        parents = f"({', '.join(bases)})" if bases else ""
        lines = [f"class {node.name}{parents}:", *self._doc(node, 4), ""]
        members = [
            (item.target.id, ast.unparse(item.annotation))
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        ]
        for name, kind in members:
            self._use_name(kind)
            lines.append(f"    {name}: {kind}")
        private = f"_{self.module}.{node.name}"
        lines += [
            "",
            f"    def __init__(self, wrapped: {private}) -> None:",
            f'        """Internal{self._origin(node)}."""',
            *(["        super().__init__(wrapped)"] if bases else []),
            "        self._wrapped = wrapped",
            *[f"        self.{name} = {kind}(wrapped.{name})" for name, kind in members],
        ]
        for item in node.body:
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and self._is_public(item.name):
                lines += ["", *self._method(node.name, item)]
        return "\n".join(lines)

    @staticmethod
    def _origin(node: ast.ClassDef) -> str:
        """From where users get one, as its ``__init__`` says."""
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                return (ast.get_docstring(item) or "").removeprefix("Internal").rstrip(".")
        return ""

    @staticmethod
    def _is_public(name: str) -> bool:
        return not name.startswith("_") or name in special_methods or name == "__repr__"

    def _method(self, owner: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
        decorators = [ast.unparse(item) for item in node.decorator_list]
        bound = "classmethod" in decorators or "staticmethod" in decorators
        receiver = f"_{self.module}.{owner}" if bound else "self._wrapped"
        name = special_methods.get(node.name, node.name)
        kind, result = self._result(node, decorators)
        if name == "__iter__":
            kind = "iterate"
        arguments, passed, callbacks = self._arguments(node.args)
        lines = [f"    @{item}" for item in decorators]
        if name in ("__enter__", "__exit__"):
            return self._context(name, owner)
        returns = f"Iterator[{result}]" if kind == "iterate" else f"Future[{result}]" if kind == "submit" else result
        lines += [f"    def {name}({arguments}) -> {returns}:", *self._doc(node, 8)]
        function = f"{receiver}.{node.name}"
        if "property" in decorators:
            value = f"submit({receiver}.wait)" if kind == "submit" else function
        elif kind == "plain":
            value = f"{function}({', '.join(passed)})"
        else:
            value = f"{kind}({', '.join([function, *passed])})"
        body = self._body(kind, result, value)
        if callbacks:
            self.file.imports["Callbacks"] = "from .portal import Callbacks"
            held = result in home_of
            lines += [f"        with Callbacks(held={held}) as callbacks:", *[f"    {line}" for line in body]]
        else:
            lines += body
        if kind == "iterate":
            self.file.imports["Iterator"] = "from collections.abc import Iterator"
        if kind == "submit":
            self.file.imports["Future"] = "from concurrent.futures import Future"
        if kind in ("iterate", "call", "submit"):
            self.file.imports[kind] = f"from .portal import {kind}"
        return lines

    def _body(self, kind: str, result: str, value: str) -> list[str]:
        if kind == "iterate":
            if (inner := re.fullmatch(r"SandboxPage\[(\w+)\]", result)) is not None:
                pages = f"SandboxPage([{inner[1]}(item) for item in page.sandboxes], page.next_cursor)"
                return [f"        for page in {value}:", f"            yield {pages}"]
            if result in home_of:
                return [f"        for item in {value}:", f"            yield {result}(item)"]
            return [f"        return {value}"]
        if result in home_of:
            return [f"        return {result}({value})"]
        if (items := re.fullmatch(r"(?:builtins\.)?list\[(\w+)\]", result)) is not None and items[1] in home_of:
            return [f"        return [{items[1]}(item) for item in {value}]"]
        return [f"        {value}"] if result == "None" else [f"        return {value}"]

    def _context(self, name: str, owner: str) -> list[str]:
        self.file.imports["call"] = "from .portal import call"
        if name == "__enter__":
            return [f"    def __enter__(self) -> {owner}:", "        return self"]
        return [
            "    def __exit__(self, *_: object) -> None:",
            "        call(self._wrapped.__aexit__, None, None, None)",
        ]

    def _result(self, node: ast.FunctionDef | ast.AsyncFunctionDef, decorators: list[str]) -> tuple[str, str]:
        """How it is called, and what it returns once that is waited for."""
        returns = node.returns
        if returns is None:
            raise SystemExit(f"{node.name} of {self.module} does not say what it returns")
        outer = ast.unparse(returns.value) if isinstance(returns, ast.Subscript) else ""
        if isinstance(returns, ast.Subscript) and outer in ("AsyncIterator", "Awaitable"):
            self._use(returns.slice)
            waiting = "submit" if "property" in decorators else "call"
            return "iterate" if outer == "AsyncIterator" else waiting, ast.unparse(returns.slice)
        self._use(returns)
        return "call" if isinstance(node, ast.AsyncFunctionDef) else "plain", ast.unparse(returns)

    def _arguments(self, arguments: ast.arguments) -> tuple[str, list[str], bool]:
        """The signature, what is passed on, and whether there are callbacks."""
        passed: list[str] = []
        any_callback = False
        first = arguments.args[:1] if arguments.args and arguments.args[0].arg in ("self", "cls") else []
        for argument in [*arguments.args[len(first) :], *arguments.kwonlyargs]:
            annotation = "" if argument.annotation is None else ast.unparse(argument.annotation)
            self._use(argument.annotation)
            value = argument.arg
            if re.match(r"On[A-Z]", annotation):
                any_callback = True
                value = f'callbacks.of("{argument.arg}", {argument.arg})'
            passed.append(f"{argument.arg}={value}" if argument in arguments.kwonlyargs else value)
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            self._use(default)
        return ast.unparse(arguments), passed, any_callback

    def _doc(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, indent: int) -> list[str]:
        first = node.body[0] if node.body else None
        if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
            return []
        text = str(ast.get_docstring(node, clean=True))
        for pattern, replacement in phrases:
            text = re.sub(pattern, replacement, text)
        if (left := re.search(r"\b(await|async|asynchronous|asyncio)\w*", text, re.IGNORECASE)) is not None:
            raise SystemExit(f"the description of {node.name} in {self.module} speaks of {left[0]!r}: add a phrase")
        text = text.replace("\\", "\\\\")
        pad = " " * indent
        lines = [f"{pad}{line}".rstrip() for line in f'"""{text}'.split("\n")]
        if "\n" in text:
            return [*lines, f'{pad}"""']
        return [f'{lines[0]}"""']


def build() -> dict[str, str]:
    """The files by name."""
    files: dict[str, File] = {}
    for module in modules:
        Generator(module, files.setdefault(module, File())).run()
    written = {f"{name}.py": render(name, file) for name, file in files.items()}
    written["__init__.py"] = render_names()
    return {name: formatted(name, text) for name, text in written.items()}


def render(name: str, file: File) -> str:
    """One module."""
    own = {f"from .{name} import {item}" for item in home_of}
    imports = sorted({line for line in file.imports.values() if line not in own})
    sources = [f"from .. import {source} as _{source}" for source in sorted(file.sources)]
    about = (ast.get_docstring(ast.parse((package / f"{name}.py").read_text())) or "").split("\n")[0].rstrip(".")
    return "\n".join(
        [
            f'"""{about}.',
            "",
            "The synchronous form, written by scripts/generate_sync.py.",
            '"""',
            "",
            "from __future__ import annotations",
            "",
            *sources,
            *imports,
            "",
            *[f"\n{c}\n" for c in file.classes],
        ]
    )


def render_names() -> str:
    """The public names: the same as those of the package."""
    tree = ast.parse((package / "__init__.py").read_text())
    origin = {
        alias.name: node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    lines = [
        '"""The same as ``opencomputer``, without ``await``: each call waits in the thread that makes it.',
        "",
        "For any thread, and also where an event loop runs already, as in a notebook. The work is done by an event",
        "loop in a thread of its own; Ctrl-C aborts the call that is waited for. Written by scripts/generate_sync.py.",
        '"""',
        "",
    ]
    for name, module in origin.items():
        lines.append(f"from .{home_of[name]} import {name}" if name in home_of else f"from ..{module} import {name}")
    return "\n".join([*lines, "", f"__all__ = {sorted(origin)!r}"])


def formatted(name: str, text: str) -> str:
    """The text as the linter wants it."""
    path = f"src/opencomputer/sync/{name}"
    for command in (
        ["check", "--fix", "--unsafe-fixes", "--quiet", "--select", "F401,I,TC", "--stdin-filename", path, "-"],
        ["format", "--quiet", "--stdin-filename", path, "-"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command], input=text, capture_output=True, text=True, check=False, cwd=root
        )
        if done.returncode:
            raise SystemExit(f"{path} cannot be formatted:\n{done.stdout[-2000:]}{done.stderr}")
        text = done.stdout
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is out of date")
    check: bool = parser.parse_args().check
    stale: list[str] = []
    for name, text in build().items():
        path = target / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(str(path.relative_to(root)))
        if not check:
            path.write_text(text)
    verb = "out of date, run scripts/generate_sync.py" if check else "written"
    for name in stale:
        sys.stdout.write(f"{name}: {verb}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
