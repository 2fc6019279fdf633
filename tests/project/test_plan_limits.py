"""A plan says how often declared limits on drift would have alarmed on the reference."""

from __future__ import annotations

from pathlib import Path

import duckdb

from setpoint.core.clock import DAY
from setpoint.project.keeping import import_file
from setpoint.project.plan import apply, plan

START = 1_767_571_200_000_000  # Monday 2026-01-05
ROWS = """
    SELECT make_timestamptz({start} + CAST(i * {step} AS BIGINT)) AS ts, i AS id, (i * 37) % 101 / 101 AS score,
           (i * 53) % 97 + CASE WHEN i // 200 = 9 THEN 60 ELSE 0 END AS fare
    FROM range(200 * 30) AS t(i)
"""
LIMITS = "drift_limits:\n- {metric: psi, at_most: 0.2}\n- {metric: total_variation, feature: fare, at_most: 0.01}\n"


def declared(folder: Path, text: str) -> Path:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models" / "taxi.yaml").write_text(text)
    return folder


def test_a_plan_replays_the_limits_on_the_days_of_the_reference(tmp_path: Path) -> None:
    folder = declared(tmp_path, "features: [fare]\n")
    apply(folder)
    duckdb.connect().sql(ROWS.format(start=START, step=DAY // 200)).write_parquet(str(tmp_path / "rows.parquet"))
    import_file(folder / "store", "taxi", str(tmp_path / "rows.parquet"))
    declared(tmp_path, "features: [fare]\n" + LIMITS)

    planned = plan(folder)

    lines = planned.text(storage=False).splitlines()
    assert "~ taxi.drift_limits.psi.at_most: not set -> 0.2" in lines
    assert "  taxi: psi above 0.2 would have alarmed on 1 of 28 days of the reference (fare 1)" in lines
    often = "! taxi: total_variation of fare above 0.01 would have alarmed on 28 of 28 days of the reference"
    assert f"{often}: that is the usual, not drift; raise the limit" in lines
    assert not any("voids" in line for line in lines)
    apply(folder)
    assert "nothing to change" in plan(folder).text(storage=False)


def test_a_limit_that_is_raised_asks_less(tmp_path: Path) -> None:
    apply(declared(tmp_path, "drift_limits: [{metric: psi, at_most: 0.2}]\n"))
    folder = declared(tmp_path, "drift_limits: [{metric: psi, at_most: 0.5}]\n")
    assert "~ taxi.drift_limits.psi.at_most: 0.2 -> 0.5, lowers the bar" in plan(folder).text()


def test_without_predictions_it_is_unknown_how_often(tmp_path: Path) -> None:
    folder = declared(tmp_path, "features: [fare]\n" + LIMITS.replace("fare", "fair"))
    unknown = "  taxi: psi above 0.2: how often it would have alarmed is unknown: needs 14 whole days of predictions"
    assert unknown in plan(folder).text()
    apply(folder)
    text = plan(folder).text()
    assert unknown in text
    named = "! taxi: drift limit total_variation of fair: no feature `fair` is declared or was ever recorded"
    assert f"{named}; did you mean fare?" in text
