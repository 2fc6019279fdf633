"""Fills a disk of a few megabytes while a recorder runs on it, and prints what each act says.

Run by test_full_disk: `python full_disk.py FOLDER HISTORY`.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

from setpoint.predictions.recorder import Recorder

ROOT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
COMMAND = Path(sys.executable).with_name("setpoint")


def ask(*words: str) -> tuple[int, str]:
    done = subprocess.run([COMMAND, *words, "--store", ROOT / "store"], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def fill() -> None:
    assert shutil.disk_usage(ROOT).total < 16 << 20, "this is no tiny disk"
    with (ROOT / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            return


def main() -> None:
    """Record, fill, record on, ask, make room, and go on."""
    logging.disable()
    said: dict[str, object] = {}
    recorder = Recorder(ROOT / "store", "m")
    sealed = Recorder(ROOT / "store", "m", spool=type(recorder.spool)(recorder.layout))
    for n in range(300):
        (recorder if n % 2 else sealed).record({"x": float(n)}, key=f"b{n}", score=0.5)
    sealed.close()  # there is something to ship
    said["before"] = recorder.flush()
    fill()
    for n in range(500):
        recorder.record({"x": 1.0}, key=f"k{n}", score=0.5)
        recorder.outcome(1, key=f"k{n}")
    said["full"] = recorder.flush(1.0), recorder.spool.last_error
    said["tick"], said["status"], said["doctor"] = ask("tick"), ask("status", "m"), ask("doctor")
    said["import"] = ask("import", str(Path(sys.argv[2])), "--model", "m")
    (ROOT / "filler").unlink()
    recorder.record({"x": 1.0}, key="after", score=0.5)
    said["room"] = recorder.flush(30.0), recorder.spool.last_error
    recorder.close()
    said["tick again"], said["status again"] = ask("tick"), ask("status", "m", "--json")
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
