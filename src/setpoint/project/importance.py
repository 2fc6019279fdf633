"""How much each input matters to a model: as its file says, or as the scores that it gave show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import duckdb
import numpy as np

from setpoint.connect.loading import Estimator
from setpoint.core.errors import UsageError
from setpoint.core.metric import counted
from setpoint.core.model import Feature, Model
from setpoint.project.fitted import Floats
from setpoint.stats.explained import explained_share
from setpoint.store.engines.duck import quoted, rows

BINS = 20
"""Groups of as many rows that a number is cut into."""

MEASURED_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Importance:
    """How much each input matters.

    Attributes:
        shares: By input; they sum to 1. Empty when unknown.
        how: How that is known, or why it is not, in words.
    """

    shares: Mapping[str, float]
    how: str

    def on(self, model: Model) -> Model:
        """Return a model whose features have their importance."""
        return replace(
            model, features=tuple(replace(one, importance=self.shares.get(one.name)) for one in model.features)
        )

    @property
    def text(self) -> str:
        """The shares in words, the largest first."""
        ranked = sorted(self.shares, key=lambda name: -self.shares[name])
        return ", ".join(f"{name} {self.shares[name]:.2f}" for name in ranked)


def shares_of(amounts: Mapping[str, float]) -> dict[str, float]:
    """Return amounts as shares that sum to 1, none below 0; empty when nothing is above 0.

    Example:
        >>> shares_of({"amount": 3.0, "country": 1.0, "noise": -0.1})
        {'amount': 0.75, 'country': 0.25, 'noise': 0.0}
    """
    total = sum(max(amount, 0.0) for amount in amounts.values())
    if total <= 0.0:
        return {}
    shares = {name: round(max(amount, 0.0) / total, 4) for name, amount in amounts.items()}
    top = max(shares, key=lambda name: shares[name])
    shares[top] = round(shares[top] + 1.0 - sum(shares.values()), 4)
    return shares


def importance_of_answers(
    connection: duckdb.DuckDBPyConnection, table: str, answer: str, features: Sequence[Feature]
) -> Importance:
    """Return which inputs move a recorded answer: the share of its variance that each of them alone explains.

    Inputs that go together explain the same, and each gets all of it; what only two together explain, none gets.

    Args:
        connection: Where the table is.
        table: The rows.
        answer: The column of the score, or of the prediction.
        features: The inputs.
    """
    amounts: dict[str, float] = {}
    why, seen = dict[str, str](), 0.0
    for feature in features:
        groups = np.array(rows(connection, _groups_sql(table, answer, feature)), dtype=np.float64).reshape(-1, 3)
        found = explained_share(groups[:, 0], groups[:, 1], float(groups[:, 2].sum()))
        seen = max(seen, float(groups[:, 0].sum()))
        if found.value is None:
            why[feature.name] = found.reason
        else:
            amounts[feature.name] = found.value
    how = f"share of the variance of {answer} that each input alone explains, on {counted(seen, 'row')}"
    shares = shares_of(amounts)
    if not shares:
        reasons = "; ".join(dict.fromkeys(why.values()))
        return Importance(shares, f"unknown: {reasons or f'no input alone moves {answer}'}")
    lacking = "; ".join(f"{name}: {reason}" for name, reason in why.items())
    return Importance(shares, f"{how}; unknown of {lacking}" if lacking else how)


def _groups_sql(table: str, answer: str, feature: Feature) -> str:
    """Return SQL for rows, mean and sum of squares of the answer in each group of an input's values."""
    value, number, told = quoted(feature.name), f"TRY_CAST({quoted(answer)} AS DOUBLE)", quoted(_ANSWER)
    group = f"floor({BINS} * percent_rank() OVER (ORDER BY {value}))" if feature.kind == "numeric" else value
    sample = (
        f"SELECT {value}, {number} AS {told} FROM {quoted(table)} AS row WHERE isfinite({number})"
        f" ORDER BY hash(row) LIMIT {MEASURED_ROWS}"
    )
    grouped = f"SELECT {told}, CASE WHEN {value} IS NOT NULL THEN {group} END AS part FROM ({sample})"
    return f"SELECT count(*), avg({told}), var_pop({told}) * count(*) FROM ({grouped}) GROUP BY part"


_ANSWER = "$answer"


def importance_of_model(
    estimator: Estimator, file: str, features: Sequence[Feature], spreads: Mapping[str, float]
) -> Importance:
    """Return the importance that a fitted model has noted of its own inputs.

    Args:
        estimator: The model: one with `feature_importances_` or `coef_`, or a booster of LightGBM or XGBoost.
        file: What its file is called.
        features: The inputs.
        spreads: Standard deviation of each number among them: a coefficient counts as many of its input's units.

    Raises:
        UsageError: It says nothing of its inputs, or takes others.
    """
    noted, how = _noted(estimator)
    if noted is None:
        msg = f"{file} holds a {type(estimator).__name__}, which says nothing of how much its inputs matter"
        raise UsageError(msg, hint="give its training rows, and each input is shuffled: --train FILE --model FILE")
    names = _names(estimator) or [feature.name for feature in features]
    known = {feature.name for feature in features}
    if len(names) != len(noted) or not known.issuperset(names):
        msg = f"the model takes {counted(len(noted), 'input')}, the file seems to have {', '.join(sorted(known))}"
        raise UsageError(msg, hint="name them in the model's order: --inputs a,b,c")
    if how == _COEFFICIENTS:
        noted = noted * np.array([spreads.get(name, 0.0) for name in names])
    shares = shares_of(dict(zip(names, noted.tolist(), strict=True)))
    return Importance(shares, f"{how} of {file}" if shares else f"unknown: {how} of {file} are all 0")


_COEFFICIENTS = "coefficients times the spread of their input"


def _noted(estimator: Any) -> tuple[Floats | None, str]:  # noqa: ANN401 — any library's model
    """Return what a model has noted of each input, in its own order, and what that is."""
    if (found := getattr(estimator, "feature_importances_", None)) is not None:
        return np.asarray(found, np.float64), "feature_importances_"
    if (found := getattr(estimator, "coef_", None)) is not None:
        return np.abs(np.atleast_2d(np.asarray(found, np.float64))).mean(axis=0), _COEFFICIENTS
    if hasattr(estimator, "feature_importance"):  # LightGBM
        return np.asarray(estimator.feature_importance(importance_type="gain"), np.float64), "gain"
    if hasattr(estimator, "get_score"):  # XGBoost, which leaves out inputs that no tree uses
        gains = cast("dict[str, float]", estimator.get_score(importance_type="total_gain"))
        names = estimator.feature_names or [f"f{n}" for n in range(estimator.num_features())]
        return np.array([gains.get(name, 0.0) for name in names]), "gain"
    return None, ""


def _names(estimator: Any) -> list[str]:  # noqa: ANN401 — any library's model
    """Return the names that a model was fitted with; empty when it knows none."""
    for place in ("feature_names_in_", "feature_name_", "feature_names", "feature_name"):
        found = getattr(estimator, place, None)
        if found is not None:
            return [str(name) for name in cast("Sequence[object]", found() if callable(found) else found)]
    return []
