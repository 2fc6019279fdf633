"""Types commands of Setpoint as a user would, and shows them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from setpoint.core.errors import UsageError
from setpoint.core.verdict import EXIT_INTERNAL, EXIT_USAGE


def typed(folder: Path, *words: str) -> str:
    """Type a command of Setpoint in a folder, and return what it prints.

    Raises:
        UsageError: It is refused.
    """
    print(f"$ setpoint {shlex.join(words)}", file=sys.stderr)
    environment = {name: value for name, value in os.environ.items() if name != "SETPOINT_STORE"}
    done = subprocess.run(  # noqa: S603 — Setpoint itself
        [sys.executable, "-m", "setpoint", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode in {EXIT_USAGE, EXIT_INTERNAL}:
        msg = f"setpoint {shlex.join(words)} failed: {done.stderr.strip()}"
        raise UsageError(msg)
    return done.stdout
