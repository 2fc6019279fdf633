"""What a change of inputs means for the model: measured where outcomes are there, estimated where not, else unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import setpoint
from setpoint.core.clock import DAY
from setpoint.core.model import Expectation, Model
from setpoint.project.keeping import import_file
from setpoint.store.layout import Layout

START = 1_767_225_600_000_000  # 2026-01-01
WINDOWS = {"reference": "2026-01-01..2026-01-15", "current": "2026-01-15..2026-01-29"}


def served(shift: float = 1.0, flipped: float = 0.0, until: int = 28, rows: int = 8000) -> pl.DataFrame:
    """Return four weeks; in the later two `x` is shifted, and some outcomes have nothing to do with the score."""
    rng = np.random.default_rng(3)
    at = START + np.arange(rows) * (28 * DAY // rows)
    is_late = at >= START + 14 * DAY
    x = rng.normal(0.0, 1.0, rows) + shift * is_late
    x[rng.random(rows) < 0.02] = np.nan
    score = 1.0 / (1.0 + np.exp(-np.nan_to_num(x) + 0.5))
    outcome = (rng.random(rows) < np.where(is_late & (rng.random(rows) < flipped), 0.5, score)).astype(float)
    outcome[at >= START + until * DAY] = np.nan
    times = pl.Series(at).cast(pl.Datetime("us", "UTC"))
    country = rng.choice(["de", "fr"], rows)
    frame = pl.DataFrame({"ts": times, "x": x, "country": country, "score": score, "outcome": outcome})
    return frame.with_columns(pl.col("outcome").fill_nan(None))


def asked(table: pl.DataFrame, *, explain: bool = False) -> setpoint.Answer:
    log = setpoint.read(table, outcome="outcome", inputs=["x", "country"])
    return log.diff(current=WINDOWS["current"], reference=WINDOWS["reference"], explain=explain)


def test_a_change_that_quality_does_not_show_is_harmless_so_far() -> None:
    answer = asked(served())
    assert answer.verdict is setpoint.Verdict.WARNING
    assert any(line.startswith("harmless so far: auc 0.7") and ", before 0.7" in line for line in answer.because)
    assert any(line.startswith("the model's mean score went 0.4") for line in answer.because)
    assert not any("harm" in line for line in answer.unknowns)


def test_a_change_with_worse_quality_says_so_and_blames_nobody() -> None:
    answer = asked(served(flipped=0.8))
    assert any(line.startswith("worse too, for this or another reason: auc 0.5") for line in answer.because)


def test_without_outcomes_an_estimate_says_what_it_assumes() -> None:
    answer = asked(served(until=14))
    assert any(line.startswith("estimated auc 0.7") and "concept is unchanged" in line for line in answer.because)
    assert any(line.startswith("whether this does harm: auc is not known yet") for line in answer.unknowns)


def test_nothing_is_said_of_harm_when_nothing_changed() -> None:
    answer = asked(served(shift=0.0))
    assert answer.verdict is setpoint.Verdict.OK
    assert not any("harm" in line or "mean score" in line for line in (*answer.because, *answer.unknowns))


def test_the_effect_of_a_feature_is_that_of_weighting_rows_by_its_bins() -> None:
    table = served()
    answer = asked(table, explain=True)
    (row,) = answer.table("effects").rows
    found = dict(zip(answer.table("effects").columns, row, strict=True))
    assert found["feature"] == "x"
    is_late = table["ts"].cast(pl.Int64) >= START + 14 * DAY
    before, after = (table.filter(rows)["score"].to_numpy().mean() for rows in (~is_late, is_late))
    assert found["score_change"] == pytest.approx(after - before, abs=0.02)  # all of the score comes from `x`
    yes_before, yes_after = ((table.filter(rows)["score"].to_numpy() >= 0.5).mean() for rows in (~is_late, is_late))
    assert found["positive_rate_change"] == pytest.approx(yes_after - yes_before, abs=0.03)
    right = (table["score"] >= 0.5).cast(pl.Float64) == table["outcome"]
    right_before, right_after = (right.filter(rows).mean() for rows in (~is_late, is_late))
    assert found["success_rate_change"] == pytest.approx(float(str(right_after)) - float(str(right_before)), abs=0.04)
    assert found["unknown"] is None
    low, change, high = (float(str(found[f"score_change{end}"])) for end in ("_low", "", "_high"))
    assert low < change < high


def test_a_bar_for_a_metric_that_there_is_not_leaves_harm_unknown(tmp_path: Path) -> None:
    served().rename({"ts": "time"}).write_parquet(tmp_path / "rows.parquet")
    layout = Layout.create(tmp_path / "store")
    layout.declare(Model("m", expectations=(Expectation("acuracy", at_least=0.6),)))
    import_file(layout.root, "m", str(tmp_path / "rows.parquet"))
    log = setpoint.open(layout.root)
    answer = log.diff("m", as_of="2026-01-29", current=WINDOWS["current"], reference=WINDOWS["reference"])
    assert "whether this does harm: no metric is called 'acuracy'" in answer.unknowns
