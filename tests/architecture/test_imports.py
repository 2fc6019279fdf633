"""What importing and recording cost the service that does it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HEAVY = {
    "deltalake",
    "duckdb",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "pydantic",
    "scipy",
    "sqlglot",
    "typer",
}

WATCHED_IMPORT = """
import json, sys, threading

touched = []

def watch(event, arguments):
    if event.startswith("socket.") or event == "subprocess.Popen":
        touched.append(event)
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc")):
        touched.append(f"open {arguments[0]}")

sys.addaudithook(watch)
import setpoint
found = list(touched)
print(json.dumps({"modules": sorted(sys.modules), "touched": found, "threads": threading.active_count()}))
"""

RECORDING = """
import json, sys
from setpoint.predictions.recorder import Recorder

recorder = Recorder(sys.argv[1], model="fraud", version="v1")
prediction_id = recorder.record({"amount": 12.5, "country": "NL"}, prediction=True, score=0.9, key="k1")
recorder.outcome(True, key="k1")
with recorder.measure({"amount": 3.0}) as measured:
    measured.score = 0.2
flushed = recorder.close()
print(json.dumps({"modules": sorted(sys.modules), "recorded": bool(prediction_id), "flushed": flushed}))
"""


def _run(program: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_setpoint_loads_nothing_heavy() -> None:
    found = _run(WATCHED_IMPORT)
    assert HEAVY & set(found["modules"]) == set()


def test_importing_setpoint_touches_no_file_no_network_and_starts_no_thread() -> None:
    found = _run(WATCHED_IMPORT)
    assert found["touched"] == []
    assert found["threads"] == 1


def test_recording_loads_neither_numpy_nor_duckdb(tmp_path: Path) -> None:
    found = _run(RECORDING, str(tmp_path / "store"))
    assert found["recorded"]
    assert found["flushed"]
    assert HEAVY & set(found["modules"]) == set()
    assert list((tmp_path / "store" / "spool").rglob("*.ndjson"))
