"""How much each input matters: as the model's file says, or as the scores that it gave show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import joblib
import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from setpoint.core.errors import UsageError
from setpoint.core.model import Feature
from setpoint.project.importance import importance_of_answers
from setpoint.project.init import Draft, Given, draft
from setpoint.stats.explained import explained_share

ROWS = 4_000
RNG = np.random.default_rng(8)
MILES, NOISE = RNG.normal(1000.0, 300.0, ROWS), RNG.normal(0.0, 1.0, ROWS)
CARRIER = RNG.choice(["AA", "DL", "UA"], ROWS)
MOVED = (MILES - 1000.0) / 300.0 + np.where(CARRIER == "AA", 1.0, 0.0)
SCORE = 1.0 / (1.0 + np.exp(-MOVED))
LATE = (RNG.random(ROWS) < SCORE).astype(int)
TABLE = pl.DataFrame(
    {
        "order_id": np.arange(ROWS),
        "miles": pl.Series(MILES).set(pl.Series(NOISE > 2.5), None),
        "carrier": CARRIER,
        "noise": NOISE,
        "score": SCORE,
        "late": LATE,
    }
)


def shares(found: Draft) -> dict[str, float | None]:
    return {one.name: one.importance for one in found.model.features}


def test_groups_explain_what_an_analysis_of_variance_says() -> None:
    frame = pl.DataFrame({"score": SCORE, "carrier": CARRIER}).to_pandas()
    parts = anova_lm(ols("score ~ C(carrier)", data=frame).fit())
    between, within = parts["sum_sq"]
    epsilon_squared = (between - 2 * within / (ROWS - 3)) / (between + within)
    groups = [SCORE[name == CARRIER] for name in ("AA", "DL", "UA")]
    rows = np.array([float(len(group)) for group in groups])
    means = np.array([group.mean() for group in groups])
    squares = float(sum(((group - group.mean()) ** 2).sum() for group in groups))
    assert explained_share(rows, means, squares).value == pytest.approx(epsilon_squared, abs=1e-12)


def test_groups_of_few_rows_explain_nothing_by_chance() -> None:
    noise = RNG.normal(size=(500, 4))
    means = noise.mean(axis=1)
    found = explained_share(np.full(500, 4.0), means, float(((noise - means[:, None]) ** 2).sum()))
    assert found.value == pytest.approx(0.0, abs=0.06)
    assert "more rows than groups" in explained_share(np.ones(40), np.arange(40.0), 0.0).reason
    assert explained_share(np.full(2, 50.0), np.ones(2), 0.0).reason == "it does not vary"


def test_without_a_model_the_recorded_score_says_which_inputs_move_it() -> None:
    found = draft(TABLE, Given("flights", columns={"outcome": "late"}), importance=True)
    told = shares(found)
    assert sum(share or 0.0 for share in told.values()) == pytest.approx(1.0)
    assert (told["miles"] or 0.0) > 0.75
    assert 0.1 < (told["carrier"] or 0.0) < 0.25
    assert (told["noise"] or 0.0) < 0.01
    said = next(one for one in found.guesses if one.key == "importance")
    assert said.value.startswith("miles 0.")
    assert said.reason == "share of the variance of score that each input alone explains, on 4,000 rows"
    assert "importance: 0." in found.yaml()


def test_where_nothing_moves_or_was_recorded_importance_is_unknown() -> None:
    given = Given("flights", columns={"outcome": "late"})
    constant = draft(TABLE.with_columns(score=pl.lit(0.5)), given, importance=True)
    assert constant.notes["importance"] == "unknown: it does not vary"
    without = draft(TABLE.drop("score"), given, importance=True)
    assert without.notes["importance"].startswith("unknown: the file has neither score nor prediction")
    assert set(shares(without).values()) == {None}


def test_an_input_of_as_many_values_as_rows_is_unknown_and_not_worth_nothing() -> None:
    connection = duckdb.connect()
    connection.sql("CREATE TABLE seen AS SELECT i / 99 AS score, i AS miles, i || '-' AS tail FROM range(99) AS t(i)")
    found = importance_of_answers(connection, "seen", "score", [Feature("miles", "numeric"), Feature("tail")])
    assert found.shares == {"miles": 1.0}
    assert found.how.endswith("unknown of tail: needs 30 more rows than groups, there are 99 in 99")


class Booster:
    """Speaks as LightGBM's booster does, which is not installed here."""

    def predict(self, rows: object) -> object:
        return rows

    def feature_name(self) -> list[str]:
        return ["noise", "miles"]

    def feature_importance(self, importance_type: str) -> np.ndarray:
        return np.array([5.0, 15.0]) if importance_type == "gain" else np.array([1.0, 1.0])


class Gradient:
    """Speaks as XGBoost's booster does, which is not installed here."""

    feature_names = ("miles", "noise")

    def predict(self, rows: object) -> object:
        return rows

    def get_score(self, importance_type: str) -> dict[str, float]:
        return {"miles": 9.0} if importance_type == "total_gain" else {}


def forest() -> object:
    inputs = pl.DataFrame({"miles": MILES, "noise": NOISE}).to_pandas()
    return RandomForestClassifier(20, max_depth=4, random_state=0).fit(inputs, LATE)


def logistic() -> object:
    inputs = pl.DataFrame({"miles": MILES / 1000.0, "noise": NOISE}).to_pandas()
    found = LogisticRegression().fit(inputs, LATE)
    found.coef_ = found.coef_ / np.array([1000.0, 1.0])  # as if miles had been given as they are
    return found


@pytest.mark.parametrize(
    ("made", "low", "how"),
    [
        (forest, 0.8, "feature_importances_"),
        (logistic, 0.8, "coefficients times the spread of their input"),
        (Booster, 0.75, "gain"),
        (Gradient, 1.0, "gain"),
    ],
)
def test_a_model_says_what_it_has_noted_of_its_inputs(
    tmp_path: Path, made: Callable[[], object], low: float, how: str
) -> None:
    joblib.dump(made(), tmp_path / "flights.joblib")
    given = Given("flights", columns={"outcome": "late"}, inputs=("miles", "noise"))
    found = draft(TABLE, given, importance=True, model_file=tmp_path / "flights.joblib")
    told = shares(found)
    assert low <= (told["miles"] or 0.0) <= 1.0
    assert sum(share or 0.0 for share in told.values()) == pytest.approx(1.0)
    assert next(one.reason for one in found.guesses if one.key == "importance") == f"{how} of flights.joblib"


def test_a_model_that_says_nothing_or_takes_other_inputs_is_refused(tmp_path: Path) -> None:
    given = Given("flights", columns={"outcome": "late"}, inputs=("miles", "noise"))
    inputs = pl.DataFrame({"miles": MILES, "noise": NOISE}).to_pandas()
    joblib.dump(KNeighborsClassifier().fit(inputs, LATE), tmp_path / "near.joblib")
    with pytest.raises(UsageError, match="KNeighborsClassifier, which says nothing") as refused:
        draft(TABLE, given, importance=True, model_file=tmp_path / "near.joblib")
    assert "--train" in refused.value.hint
    joblib.dump(RandomForestClassifier(2).fit(inputs.assign(other=1.0), LATE), tmp_path / "forest.joblib")
    with pytest.raises(UsageError, match="takes 3 inputs"):
        draft(TABLE, given, importance=True, model_file=tmp_path / "forest.joblib")
