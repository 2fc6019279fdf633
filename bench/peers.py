"""Tools that we are measured beside, each in an environment of its own: `.make/peers/NAME`."""

from __future__ import annotations

import subprocess
from pathlib import Path

PEERS = Path(__file__).parents[1] / ".make" / "peers"
PACKAGES = {
    "nannyml": ("nannyml==0.13.1", "pandas<3", "statsmodels"),
    "evidently": ("evidently==0.7.23", "pandas<3"),
}


def installed(name: str) -> Path | None:
    """Return the Python of a tool's environment, made when it is not there; None when that fails.

    Args:
        name: One of `PACKAGES`, which is also what it is imported as.
    """
    python = PEERS / name / "bin" / "python"
    if _runs(str(python), "-c", f"import {name}"):
        return python
    uv = PEERS.parent / "uv" / "bin" / "uv"
    tool = str(uv) if uv.exists() else "uv"
    is_made = _runs(tool, "venv", "--clear", "--python", "3.11", str(PEERS / name))
    return python if is_made and _runs(tool, "pip", "install", "--python", str(python), *PACKAGES[name]) else None


def _runs(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 — our own command
    except OSError:
        return False
