"""Runs every module of this folder that has a `main()`: `python -m bench [NAME ...]`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.table import table

_OWN = {
    "__init__",
    "__main__",
    "peers",
    "processes",
    "rollout_latency",
    "rollout_peers",
    "rollout_traps",
    "rollout_worlds",
    "table",
}


def names() -> list[str]:
    """Return the modules that measure something."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _OWN)


def main(chosen: list[str]) -> int:
    """Run the chosen benchmarks, all by default; each prints its own table."""
    known = names()
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    rows: list[tuple[str, float, str]] = []
    for name in chosen or known:
        print(f"\n{name}", flush=True)
        started = time.perf_counter()
        # A process each: a child's peak memory counts what its parent held when it was started.
        code = f"from bench.{name} import main; main()"
        ending = "failed" if subprocess.run([sys.executable, "-c", code], check=False).returncode else "ok"  # noqa: S603 — our own code
        rows.append((name, time.perf_counter() - started, ending))
    print("\n" + (table(["benchmark", "seconds", "ended"], rows) if rows else "no benchmark yet"))
    return int(any(ending == "failed" for *_, ending in rows))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
