"""What importing, recording and asking for help cost before anything happens."""

from __future__ import annotations

from bench.processes import side_by_side
from bench.table import table

LIMIT_IMPORT_MS, LIMIT_HELP_MS = 100.0, 300.0


def main() -> None:
    """Print each as the time over an empty interpreter."""
    found = side_by_side(
        {
            "empty interpreter": ("pass",),
            "import setpoint": ("import setpoint",),
            "import setpoint, use Recorder": ("import setpoint; setpoint.Recorder",),
            "setpoint --help": (
                "import sys; sys.argv = ['setpoint', '--help']\nfrom setpoint.cli import main\ntry: main()\nexcept SystemExit: pass",
            ),
        },
        repeats=7,
    )
    base = found["empty interpreter"].wall_seconds
    limits = {"import setpoint": f"<= {LIMIT_IMPORT_MS:g}", "setpoint --help": f"<= {LIMIT_HELP_MS:g} in all"}
    rows = [
        [name, r.wall_seconds * 1000, (r.wall_seconds - base) * 1000, limits.get(name, "")] for name, r in found.items()
    ]
    print(table(["start", "ms in all", "ms over an empty one", "limit"], rows))
