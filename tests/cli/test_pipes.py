"""A pipe that is closed ends the command line, and nobody who calls it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from setpoint.cli import main


def test_who_calls_the_command_line_keeps_its_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGPIPE)
    monkeypatch.setattr(sys, "argv", ["setpoint", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert signal.getsignal(signal.SIGPIPE) == before


def test_a_closed_pipe_ends_it_without_a_word() -> None:
    command = [sys.executable, "-m", "setpoint.cli", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), said) == (-signal.SIGPIPE, b"")
