"""A disk that is really full: nothing is lost, every act says so in words, and all goes on when there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ACTOR = Path(__file__).with_name("full_disk.py")


def on_a_tiny_disk(folder: Path, *arguments: str) -> dict[str, list[object]]:
    """Run the actor on a file system of 3 MB that is its own, and gone with it."""
    folder.mkdir()
    mount = 'mount -t tmpfs -o size=3m tiny "$0" && exec "$@"'
    enter = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    tried = subprocess.run([*enter, "sh", "-c", mount, folder, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine lets nobody mount a file system: {tried.stderr.strip()}")
    actor = [sys.executable, ACTOR, folder, *arguments]
    done = subprocess.run([*enter, "sh", "-c", mount, folder, *actor], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_full_disk_loses_nothing_and_is_said(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text("ts,score,x\n" + "".join(f"2026-01-01 00:00:{n % 60:02d},0.5,{n}\n" for n in range(2000)))
    said = on_a_tiny_disk(tmp_path / "disk", str(history))
    assert said["before"] is True
    assert said["full"] == [False, "[Errno 28] No space left on device"]
    for act in ("tick", "import"):
        code, words = said[act]
        assert code == 2
        assert "is full" in str(words)
        assert "free some space" in str(words)
    code, words = said["status"]
    assert code == 3
    assert "300 predictions" in str(words)
    assert "0 bytes free" in str(said["doctor"][1])
    assert said["room"] == [True, ""]
    assert said["tick again"][0] == 0
    status = json.loads(str(said["status again"][1]))
    assert "801 predictions, outcomes have arrived for 62.4 %" in status["because"]
