"""Examples of the descriptions, of both forms, make sense to a type checker; those of the README are run elsewhere."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from opencomputer.error_mapping import class_of_code

root = Path(__file__).parent.parent
package = root / "src" / "opencomputer"

# What an example may speak of without having made it.
known = {
    "sandbox": "Sandbox",
    "checkpoint": "CheckpointInfo",
    "session": "ExecSession",
    "shell": "Shell",
    "terminal": "PtySession",
    "agent": "AgentSession",
    "digest": "hashlib._Hash",
    "screen": "BinaryIO",
}


def examples(folder: Path) -> list[str]:
    """The examples of a package, without those of packages in it."""
    docs = [
        ast.get_docstring(node) or ""
        for path in sorted(folder.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    blocks = [block for doc in docs for block in re.findall(r"```python\n(.*?)```", doc, re.DOTALL)]
    return [textwrap.dedent(block) for block in blocks]


def module(name: str, samples: list[str], keyword: str) -> str:
    """The examples as functions."""
    parameters = ", ".join(f"{name}: {kind}" for name, kind in known.items())
    lines = ["import hashlib, sys", "from pathlib import Path", "from typing import BinaryIO", f"from {name} import *"]
    for number, sample in enumerate(samples):
        body = textwrap.indent(sample, "    ")
        lines += ["", f"{keyword} example_{number}({parameters}) -> None:", body.rstrip()]
    return "\n".join([*lines, ""])


def test_examples_are_understood(tmp_path: Path) -> None:
    asynchronous, synchronous = examples(package), examples(package / "sync")
    assert len(asynchronous) > 70
    assert len(synchronous) > 60
    (tmp_path / "asynchronous.py").write_text(module("opencomputer", asynchronous, "async def"))
    (tmp_path / "synchronous.py").write_text(module("opencomputer.sync", synchronous, "def"))
    settings = {"typeCheckingMode": "standard", "reportSelfClsParameterName": False}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({**settings, "extraPaths": [str(root / "src")]}))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run([*command, "--project", tmp_path], capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    errors = [
        f"{Path(item['file']).name}:{item['range']['start']['line'] + 1}: {item['message']}"
        for item in told["generalDiagnostics"]
        if item["severity"] == "error"
    ]
    assert told["summary"]["filesAnalyzed"] == 2
    assert errors == []


def test_every_code_of_the_server_has_its_class() -> None:
    page = (root.parent / "docs" / "reference" / "errors.md").read_text()
    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == set(class_of_code)
