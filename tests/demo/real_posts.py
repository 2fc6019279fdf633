"""Where the real e-mails are, when they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

REAL = Path(os.environ.get("SETPOINT_DATA", Path(__file__).parents[3] / "shared" / "data"))
