"""An import that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_CODE = """
import os, signal, sys
from pathlib import Path
from setpoint.project.keeping import import_file
from setpoint.store.lake import LakeTable
commit = LakeTable.append
def append(self, rows, sequences):
    if self.path.name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, rows, sequences)
LakeTable.append = append
import_file(Path(sys.argv[1]), "m", sys.argv[2], columns=eval(sys.argv[4]))
"""


def killed_import(store: Path, files: str, table: str, columns: Mapping[str, str]) -> None:
    """Import files in a process of its own that is killed before it commits to a table."""
    program = [sys.executable, "-c", _CODE, str(store), files, table, repr(dict(columns))]
    assert subprocess.run(program, check=False, timeout=60).returncode == -signal.SIGKILL
