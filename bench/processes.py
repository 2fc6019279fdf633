"""Runs Python code in a process of its own and measures it: wall, CPU and peak memory, start included."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Run:
    """What one process took.

    Attributes:
        wall_seconds: From start to end.
        cpu_seconds: User and system.
        peak_mb: Largest resident set.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float


def run(code: str, *arguments: str, python: Path | str = sys.executable) -> Run:
    """Run code once with two threads.

    Args:
        code: What to run.
        arguments: Of the process.
        python: The Python to run it with.

    Raises:
        RuntimeError: It failed.
    """
    began = time.perf_counter()
    # With compiled modules cached, as for every user; some machines are told to write none.
    cache = str(Path(__file__).parents[1] / ".make" / "pycache")
    environment = {**os.environ, "SETPOINT_THREADS": "2", "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": cache}
    process = subprocess.Popen(  # noqa: S603 — our own code
        [str(python), "-c", code, *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        msg = f"the benchmark's process ended with {status}"
        raise RuntimeError(msg)
    return Run(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(runs: list[Run]) -> Run:
    """Return the median of each number."""
    return Run(
        statistics.median(r.wall_seconds for r in runs),
        statistics.median(r.cpu_seconds for r in runs),
        statistics.median(r.peak_mb for r in runs),
    )


def side_by_side(
    codes: dict[str, tuple[str, ...]], repeats: int = 5, pythons: Mapping[str, Path] = MappingProxyType({})
) -> dict[str, Run]:
    """Run each code in turn, several rounds, so that a busy machine is equally busy for all.

    Args:
        codes: Code and its arguments by name.
        repeats: How many rounds count.
        pythons: The Python of those that need another than this one.
    """
    runs: dict[str, list[Run]] = {name: [] for name in codes}
    for round_of in range(repeats + 1):
        for name, (code, *arguments) in codes.items():
            found = run(code, *arguments, python=pythons.get(name, sys.executable))
            if round_of:  # the first compiles what it imports
                runs[name].append(found)
    return {name: median(found) for name, found in runs.items()}
