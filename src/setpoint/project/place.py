"""Where the store is when nobody says so."""

from __future__ import annotations

import os
from pathlib import Path

from setpoint.core.errors import DeclarationError

DEFAULT = "store"


def store_path(given: Path | None, folder: Path | None = None) -> Path:
    """Return the store's folder: as given, from `$SETPOINT_STORE`, from `setpoint.yaml`, or `./store`.

    Raises:
        DeclarationError: `setpoint.yaml` does not hold. What other files hold is no matter: answers follow what was
            applied last, see `not_in_force`.
    """
    if given is not None:
        return given
    if named := os.environ.get("SETPOINT_STORE"):
        return Path(named)
    here = folder or Path()
    if (here / "setpoint.yaml").exists():
        from setpoint.declare.load import store_of  # noqa: PLC0415 — pydantic is slow to import

        return Path(store_of(here))
    return here / DEFAULT


def not_in_force(folder: Path | None = None) -> str:
    """Return which files of a project do not hold, so that nothing of it can be applied; empty when all do.

    Args:
        folder: Where `setpoint.yaml` is; this one when None. A folder without one declares nothing.
    """
    here = folder or Path()
    if not (here / "setpoint.yaml").exists():
        return ""
    from setpoint.declare.load import load_project  # noqa: PLC0415 — as above

    try:
        load_project(here)
    except DeclarationError as error:
        return error.message
    return ""
