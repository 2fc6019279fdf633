"""Commands of a replay are what a user types, and leave nothing behind in the process that types them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from setpoint.core.errors import UsageError
from setpoint.demo.commands import answered, typed


def test_a_command_is_typed_in_its_folder_and_leaves_the_process_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SETPOINT_STORE", str(tmp_path / "another"))
    before = Path.cwd(), list(sys.argv), dict(os.environ)
    said = typed(tmp_path, "clock", "2026-03-02")
    assert said == "2026-03-02 00:00 UTC: a replay, which stands until it is set\n"
    assert answered(tmp_path, "incident", "list", is_shown=False)["headline"] == "no incident is open"
    with pytest.raises(UsageError, match=r"setpoint why 7 failed: error: .*'7'"):
        typed(tmp_path, "why", "7")
    assert capsys.readouterr() == ("", "$ setpoint clock 2026-03-02\n$ setpoint why 7\n")
    assert [one.name for one in tmp_path.iterdir()] == ["store"]
    assert (Path.cwd(), sys.argv, dict(os.environ)) == before


def test_an_answer_with_bad_news_is_an_answer(tmp_path: Path) -> None:
    typed(tmp_path, "clock", "2026-03-02", is_shown=False)
    assert answered(tmp_path, "models", is_shown=False)["verdict"] == "unknown"
