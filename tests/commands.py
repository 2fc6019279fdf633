"""The command line as a user types it, without the second that a process of its own takes to start."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from setpoint.cli import main


def setpoint(
    *words: str, cwd: Path, environment: dict[str, str] | None = None, is_one_stream: bool = False
) -> CompletedProcess[str]:
    """Run a command in a folder and return what it printed and its exit code.

    Args:
        *words: What stands behind `setpoint`.
        cwd: The folder.
        environment: Variables beside those that there are.
        is_one_stream: Whether what goes to stderr stands in its place in stdout, as in a terminal.
    """
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = out if is_one_stream else io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["setpoint", *words])
        patch.setattr(sys, "stdin", io.StringIO())
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return CompletedProcess(words, code, _printed(out), "" if is_one_stream else _printed(err))


def _printed(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()
