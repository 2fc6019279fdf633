"""Under-served cohorts among the rows of a model: which are found, which cannot be judged, and never one by luck."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import setpoint
from setpoint.core.model import Cohort, Model, Task
from setpoint.feedback.underserved import ABSOLUTE, ERROR_RATE, RECALL, Search, find_underserved

DIMENSIONS = 5


def frame(rows: int, seed: int, *, planted: bool = False) -> pl.DataFrame:
    """Return predictions with ten per cent of errors, in whatever cohort; planted, twice as many in `plan=z`."""
    random = np.random.default_rng(seed)
    made = {f"c{n}": random.choice(list("abcdefgh"), rows) for n in range(DIMENSIONS)}
    made["plan"] = np.where(random.random(rows) < 0.02, "z", random.choice(list("uvwxy"), rows))
    # A column that goes along with another one makes tests depend on each other.
    made["twin"] = np.where(random.random(rows) < 0.7, made["c0"], random.choice(list("abcdefgh"), rows))
    errors = np.where((made["plan"] == "z") & planted, 0.2, 0.1)
    decision = (random.random(rows) < 0.3).astype(np.int64)
    outcome = np.where(random.random(rows) < errors, 1 - decision, decision)
    score = np.where(decision == 1, random.beta(4, 2, rows), random.beta(2, 4, rows))
    return pl.DataFrame({**made, "id": np.arange(rows), "p": score, "said": decision, "y": outcome}).with_columns(
        pl.col("id").cast(pl.String).str.pad_start(8, "0")
    )


def find(table: pl.DataFrame, *, model: Model | None = None, budget: float | None = None, **columns: str) -> Search:
    named = {"prediction_id": "id", "score": "p", "prediction": "said", "outcome": "y", "time": "", **columns}
    used = {role: column for role, column in named.items() if not column or column in table.columns}
    inputs = [column for column in table.columns if column not in named.values()]
    log = setpoint.read(table, model=model or "", inputs=inputs, cohorts=None if model else [], **used)
    with log.evidence() as evidence:
        return find_underserved(evidence, None, budget)


def test_a_cohort_of_two_per_cent_with_twice_the_errors_is_named_in_nine_of_ten_searches() -> None:
    searches = [find(frame(30_000, seed, planted=True)) for seed in range(20)]
    named = [{one.cohort for one in searched.found} for searched in searches]
    assert sum("plan=z" in names for names in named) >= 18
    assert sum(bool(names - {"plan=z"}) for names in named) <= 1
    assert all(searched.looked_at > 1000 for searched in searches)


def test_noise_is_named_in_at_most_one_of_twenty_searches() -> None:
    assert sum(bool(find(frame(5000, seed)).found) for seed in range(40)) <= 2


def test_what_is_found_is_counted_from_its_rows() -> None:
    table = frame(60_000, 1, planted=True)
    searched = find(table)
    one = next(one for one in searched.found if one.criterion == ERROR_RATE)
    inside = table.filter(pl.col("plan") == "z")
    wrong = int((inside["said"] != inside["y"]).sum())
    assert (one.cohort, one.rows, one.comparison.bad) == ("plan=z", len(inside), wrong)
    assert one.share == pytest.approx(len(inside) / len(table))
    outside = table.filter(pl.col("plan") != "z")
    expected = len(inside) * int((outside["said"] != outside["y"]).sum()) / len(outside)
    assert one.comparison.excess == pytest.approx(wrong - expected)
    assert one.comparison.confirming_rows == pytest.approx(len(inside) / 2, rel=0.1)
    value = one.comparison.value
    assert value.low is not None
    assert value.high is not None
    assert value.low < 0.2 < value.high
    assert searched.arrival.share == 1.0
    assert set(searched.dimensions) == {*(f"c{n}" for n in range(DIMENSIONS)), "plan", "twin"}


def test_the_same_rows_give_the_same_answer_whatever_their_order() -> None:
    table = frame(20_000, 2, planted=True)
    one, other = find(table), find(table.sample(fraction=1.0, shuffle=True, seed=3))
    assert [(u.cohort, u.criterion, u.rows, u.comparison.bad) for u in one.found] == [
        (u.cohort, u.criterion, u.rows, u.comparison.bad) for u in other.found
    ]
    assert [u.p_adjusted for u in one.found] == pytest.approx([u.p_adjusted for u in other.found])
    assert one.too_small == other.too_small


def test_rows_of_one_unit_are_in_one_half_so_that_one_user_is_no_cohort() -> None:
    random = np.random.default_rng(4)
    users = random.integers(0, 400, 40_000)
    # A third of a region's rows are one user's, and all of those are wrong.
    users = np.where(random.random(40_000) < 0.02, 1000, users)
    region = np.where(users == 1000, "r3", np.char.add("r", (users % 15).astype(str)))
    said = (random.random(40_000) < 0.5).astype(np.int64)
    wrong = (random.random(40_000) < 0.1) | (users == 1000)
    table = pl.DataFrame(
        {"region": region, "user": users, "id": np.arange(40_000), "said": said, "y": np.where(wrong, 1 - said, said)}
    ).with_columns(pl.col("id", "user").cast(pl.String))
    assert "region=r3" in {one.cohort for one in find(table.drop("user")).found}
    assert find(table, unit="user").found == ()


def test_recall_at_a_budget_acts_on_the_highest_scores_and_on_equal_ones_together() -> None:
    table = frame(20_000, 5).with_columns(p=(pl.col("p") * 10).round() / 10)
    acting = find(table, budget=0.2).acting
    assert acting is not None
    assert acting.cut is not None
    assert acting.share == pytest.approx((table["p"] >= acting.cut - 1e-9).mean())
    assert abs(acting.share - 0.2) < 0.1
    own = find(table).acting
    assert own is not None
    assert (own.cut, own.share) == (None, pytest.approx(table["said"].mean()))


def test_a_cohort_that_is_low_in_recall_and_under_forecast_comes_first() -> None:
    random = np.random.default_rng(6)
    region = random.choice(list("abcdefghij"), 60_000)
    truth = random.beta(1.0, 3.0, 60_000)
    y = (random.random(60_000) < truth).astype(np.int64)
    # In b the model is blind to what comes; in c, a larger error, its scores only have no order.
    p = np.where(region == "b", truth * 0.4, np.where(region == "c", 0.2, truth))
    table = pl.DataFrame({"region": region, "id": np.arange(60_000), "p": p, "y": y}).with_columns(
        pl.col("id").cast(pl.String)
    )
    found = find(table, budget=0.2).found
    assert [one.cohort for one in found if one.criterion == RECALL] == ["region=b", "region=c"]
    first = found[0]
    assert (first.cohort, first.criterion, first.is_under_forecast) == ("region=b", RECALL, True)
    assert first.gap is not None
    assert first.gap.value.high is not None
    assert first.gap.value.high < 0.0


def test_small_cohorts_are_unknown_and_say_what_they_need() -> None:
    table = frame(20_000, 7).with_columns(
        plan=pl.when(pl.int_range(20_000) < 100).then(pl.lit("few")).otherwise("plan"),
        y=pl.when(pl.int_range(20_000) < 100).then((pl.int_range(20_000) % 5 == 0).cast(pl.Int64)).otherwise("y"),
        said=pl.when(pl.int_range(20_000) < 100).then(0).otherwise("said"),  # all of them are missed
    )
    searched = find(table)
    assert (RECALL, "plan=few") not in {(one.criterion, one.cohort) for one in searched.found}
    small = {one.cohort: one for one in searched.too_small}
    assert small["plan=few"].rows == 100
    assert "positive outcomes in the smaller half, needs 30" in small["plan=few"].reason


def test_missing_values_booleans_and_whole_numbers_are_cohorts_and_fractions_are_not() -> None:
    table = (
        frame(5000, 8)
        .select("id", "p", "said", "y")
        .with_columns(
            tier=pl.when(pl.int_range(5000) % 3 > 0).then(pl.lit("gold")),
            hour=pl.int_range(5000) % 24 % 5,
            level=(pl.int_range(5000) % 4).cast(pl.Float64),
            half=(pl.int_range(5000) % 4) / 2,
            is_new=pl.int_range(5000) % 2 == 0,
            amount=pl.int_range(5000),
            same=pl.lit("x"),
        )
    )
    searched = find(table)
    assert set(searched.dimensions) == {"tier", "hour", "level", "is_new"}


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (pl.lit(1), "all 2,000 outcomes that have arrived are positive"),
        (pl.lit(0), "all 2,000 outcomes that have arrived are negative"),
        (pl.lit(None, pl.Int64), "no outcome has arrived for this window"),
    ],
)
def test_one_class_only_is_unknown_in_words(outcome: pl.Expr, why: str) -> None:
    searched = find(frame(2000, 9).with_columns(y=outcome), model=Model("m", cohorts=(Cohort("plan", by="plan"),)))
    assert (searched.unknown, searched.found, searched.tests) == (why, (), 0)


def test_a_declared_cohort_that_never_occurs_is_told() -> None:
    model = Model("m", cohorts=(Cohort("huge", where="p > 2"), Cohort("plan", by="plan"), Cohort("gone", by="gone")))
    searched = find(frame(4000, 10), model=model)
    assert {one.cohort: one.reason for one in searched.too_small if one.rows == 0} == {
        "huge": "it does not occur in this window, or nothing else does",
        "gone": "it does not occur in this window, or nothing else does",
    }


def test_errors_of_a_regression_are_absolute_ones() -> None:
    random = np.random.default_rng(11)
    plan = random.choice(list("uvwxyz"), 20_000)
    guess = random.normal(50, 10, 20_000)
    table = pl.DataFrame(
        {
            "plan": plan,
            "id": np.arange(20_000).astype(str),
            "said": guess,
            "y": guess + random.standard_t(4, 20_000) * np.where(plan == "w", 2.0, 1.0),
        }
    )
    searched = find(table, model=Model("m", task=Task.REGRESSION))
    assert [(one.cohort, one.criterion) for one in searched.found] == [("plan=w", ABSOLUTE)]
    assert searched.acting is None
    off = table.filter(pl.col("plan") == "w").select((pl.col("said") - pl.col("y")).abs().sum()).item()
    assert searched.found[0].comparison.bad == pytest.approx(off)


def test_of_too_many_inputs_some_are_left_out_by_name() -> None:
    random = np.random.default_rng(12)
    many = {f"f{n:02}": random.integers(0, 3, 2000) for n in range(25)}
    table = frame(2000, 12).select("id", "p", "said", "y").with_columns(**{k: pl.Series(v) for k, v in many.items()})
    searched = find(table)
    assert len(searched.dimensions) == 20
    assert searched.left_out == tuple(f"f{n}" for n in range(20, 25))
