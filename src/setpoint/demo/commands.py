"""What a user does by hand: makes a project's folder, and types commands of Setpoint there, which are shown."""

from __future__ import annotations

import json
import os
import runpy
import shlex
import shutil
import sys
from collections.abc import Generator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from setpoint.core.errors import UsageError
from setpoint.core.verdict import EXIT_INTERNAL, EXIT_USAGE


def new_folder(folder: Path, model: str) -> None:
    """Make a project's folder; one of an earlier replay of the same model is replaced.

    Raises:
        UsageError: There is something else in it.
    """
    if folder.exists():
        if not (folder / "models" / f"{model}.yaml").exists():
            msg = f"{folder} is there already and is none of this replay"
            raise UsageError(msg, hint="name another folder with --folder")
        shutil.rmtree(folder)
    (folder / "models").mkdir(parents=True)


def typed(folder: Path, *words: str, is_shown: bool = True) -> str:
    """Type a command of Setpoint in a folder, and return what it prints.

    It is what `python -m setpoint` runs, but in this process: to start one takes longer than most of these do.

    Args:
        folder: Where it is typed.
        *words: What stands behind `setpoint`.
        is_shown: Whether it is said on stderr; not where it is typed again and again.

    Raises:
        UsageError: It is refused.
    """
    if is_shown:
        print(f"$ setpoint {shlex.join(words)}", file=sys.stderr)
    code: object = None
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err, _standing_in(folder, words):
        try:
            runpy.run_module("setpoint", run_name="__main__")
        except SystemExit as end:
            code = end.code
    if code in {EXIT_USAGE, EXIT_INTERNAL}:
        msg = f"setpoint {shlex.join(words)} failed: {err.getvalue().strip()}"
        raise UsageError(msg)
    return out.getvalue()


def answered(folder: Path, *words: str, is_shown: bool = True) -> dict[str, Any]:
    """Type a question in a folder with `--json`, and return the answer."""
    return json.loads(typed(folder, *words, "--json", is_shown=is_shown))


@contextmanager
def _standing_in(folder: Path, words: Sequence[str]) -> Generator[None]:
    """Make this process look like one that was started in a folder, whose store its project names."""
    before, store = sys.argv, os.environ.pop("SETPOINT_STORE", None)
    sys.argv = ["setpoint", *words]
    try:
        with chdir(folder):
            yield
    finally:
        sys.argv = before
        if store is not None:
            os.environ["SETPOINT_STORE"] = store
