"""Who is under-served on real flights: trained on January to March, acting on the top fifth from April on."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

import setpoint
from setpoint.core.verdict import Verdict
from setpoint.demo.flights import CATEGORICAL, Flights, load
from setpoint.demo.replay import frame
from setpoint.stats.classification import BinaryState
from setpoint.stats.ranking import auc


def scored() -> tuple[Flights, np.ndarray]:
    """Return the flights from April on with the scores of a model that has seen only winter."""
    flights = load()
    categories = {name: sorted(flights.table[name].unique()) for name in CATEGORICAL}
    train = flights.between("2013-01-01", "2013-04-01").with_outcome
    model = HistGradientBoostingClassifier(
        max_iter=200,
        learning_rate=0.05,
        max_leaf_nodes=31,
        min_samples_leaf=100,
        categorical_features="from_dtype",
        random_state=0,
    ).fit(frame(train, categories), train.late)
    live = flights.between("2013-04-01", "2014-01-01")
    return live, model.predict_proba(frame(live, categories))[:, 1]


@pytest.mark.timeout(200)
def test_virgin_america_is_under_served_and_hawaiian_is_unknown() -> None:
    live, scores = scored()
    late = live.table["late"].to_numpy()
    carrier = live.table["carrier"].to_numpy()
    known = ~np.isnan(late)

    def skill(chosen: np.ndarray) -> float:
        return auc(BinaryState.from_rows(late[chosen], scores=scores[chosen])).value or 0.0

    # What anybody would look at first shows nothing.
    assert skill(known & (carrier == "VX")) == pytest.approx(skill(known), abs=0.03)
    table = pl.DataFrame(
        {
            "ts": live.table["departs_at"].dt.as_unit("us").astype("int64").to_numpy(),
            "carrier": carrier.tolist(),
            "origin": live.table["origin"].tolist(),
            "key": live.table["key"].tolist(),
            "score": scores,
            "late": pl.Series(late.tolist()).fill_nan(None),
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    answer = setpoint.read(table, model="flights", outcome="late", cohorts=["carrier", "origin"]).cohorts(budget=0.2)
    assert answer.verdict is Verdict.WARNING
    columns = answer.table("cohorts").columns
    found: list[dict[str, Any]] = [dict(zip(columns, row, strict=True)) for row in answer.table("cohorts").rows]
    carriers = list(
        dict.fromkeys(row["cohort"] for row in found if "&" not in row["cohort"] and "carrier" in row["cohort"])
    )
    assert "carrier=VX" in carriers[:2]
    assert "carrier=VX" in answer.headline
    low = next(row for row in found if row["cohort"] == "carrier=VX" and row["criterion"] == "recall")
    assert low["value"] < 0.06
    assert low["rest"] == pytest.approx(0.385, abs=0.03)
    assert low["p_adjusted"] < 1e-20
    gap = next(row for row in found if row["cohort"] == "carrier=VX" and row["criterion"] == "calibration_gap")
    assert gap["value"] == pytest.approx(-0.11, abs=0.02)
    assert "carrier=HA" not in {row["cohort"] for row in found}
    small = {row[0]: row for row in answer.table("too_small").rows}
    assert small["carrier=HA"][1] == 252
    assert small["carrier=HA"][3] == "unknown"
    assert any(line.startswith("carrier=HA (252 predictions): recall: ") for line in answer.unknowns)
