"""Which of 23 columns drifted between two files of 100,000 rows: how long that takes here, in NannyML and in Evidently.

Each reads both files and answers with its defaults, the whole process: NannyML's distances of ten chunks of the second
file, Evidently's preset. Ours also with the first file kept as a profile, which the others cannot. Where one cannot be installed, its row says so and no ratio is printed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.peers import installed
from bench.processes import side_by_side
from bench.profiling import NUMERIC, OURS, TEXT, make
from bench.table import table
from setpoint import save_profile

ROWS = 100_000
LEAST = {"nannyml": 7.0, "evidently": 20.0}
"""How many times our processor time each is to take at least."""

_KEPT = "setpoint.diff of a profile"
THEIRS = {
    "nannyml": """
import os, sys, warnings
warnings.filterwarnings("ignore")
os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
import nannyml, pandas as pd
nannyml.disable_usage_logging()
calculator = nannyml.UnivariateDriftCalculator(column_names=sys.argv[3].split(","))
calculator.fit(pd.read_parquet(sys.argv[1]))
print(calculator.calculate(pd.read_parquet(sys.argv[2])).filter(period="analysis").to_df())
""",
    "evidently": """
import sys, warnings
warnings.filterwarnings("ignore")
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
before, after = (pd.read_parquet(path) for path in sys.argv[1:3])
print(Report([DataDriftPreset()]).run(after, before).dict())
""",
}


def main() -> None:
    """Print all three, and the ratios."""
    pythons = {name: python for name in THEIRS if (python := installed(name)) is not None}
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.parquet", Path(folder) / "after.parquet"
        make(before, 0.1, 0.0, ROWS)
        make(after, 0.2, 0.05, ROWS)
        arguments = (str(before), str(after), ",".join([*NUMERIC, *TEXT]))
        profile = Path(folder) / "before.profile"
        save_profile(before, profile)
        codes = {"setpoint.diff": (OURS, *arguments), _KEPT: (OURS, str(profile), str(after))}
        codes |= {name: (THEIRS[name], *arguments) for name in pythons}
        found = side_by_side(codes, repeats=3, pythons=pythons)
    ours = found["setpoint.diff"].cpu_seconds
    rows: list[tuple[str, ...]] = []
    for name in ("setpoint.diff", _KEPT, *THEIRS):
        if name not in found:
            rows.append((name, "cannot be installed here", "", "", "", f">= {LEAST[name]:g}"))
            continue
        one = found[name]
        least = f">= {LEAST[name]:g}" if name in LEAST else ""
        times = f"{one.cpu_seconds / ours:.1f}"
        rows.append((name, f"{one.wall_seconds:.2f}", f"{one.cpu_seconds:.2f}", f"{one.peak_mb:.0f}", times, least))
    print(table([f"2 x {ROWS:,} rows, 23 columns", "wall s", "CPU s", "peak MB", "CPU, times ours", "aim"], rows))
