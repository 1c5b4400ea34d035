"""Files that are made from others are up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

root = Path(__file__).parent.parent


@pytest.mark.parametrize("script", ["generate_sync.py", "generate_reference.py"])
def test_is_up_to_date(script: str) -> None:
    done = subprocess.run(
        [sys.executable, root / "scripts" / script, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
