"""Where the store is when nobody says so."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT = "store"


def store_path(given: Path | None, folder: Path | None = None) -> Path:
    """Return the store's folder: as given, from `$SETPOINT_STORE`, from `setpoint.yaml`, or `./store`.

    Raises:
        DeclarationError: `setpoint.yaml` does not hold.
    """
    if given is not None:
        return given
    if named := os.environ.get("SETPOINT_STORE"):
        return Path(named)
    here = folder or Path()
    if (here / "setpoint.yaml").exists():
        from setpoint.declare.load import load_project  # noqa: PLC0415 — pydantic is slow to import

        return Path(load_project(here).store)
    return here / DEFAULT
