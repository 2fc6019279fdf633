"""The bill is all in, exact under sampling, and says what it does not know instead of leaving it out."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import setpoint
from setpoint.answers.answer import Answer
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import DeclarationError
from setpoint.core.metric import number
from setpoint.core.model import Model, Rates
from setpoint.predictions.recorder import Recorder
from setpoint.store.engines.duck import rows as query
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.shipper import ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01
WINDOW = "2026-01-01..2026-01-02"
MONTH = 365.25 / 12 * DAY
FLAT = Rates(per_prediction_usd=0.002, per_compute_second_usd=0.05)
Row = dict[str, object]


def traffic(count: int = 400, seed: int = 3) -> pl.DataFrame:
    """Return a day of rows, one a prediction, with what its calls cost and took; a third have a shadow row."""
    rng = random.Random(seed)
    made = [(n, is_shadow) for n in range(count) for is_shadow in ([False, True] if n % 3 == 0 else [False])]
    return pl.DataFrame(
        [
            {
                "id": f"p{n:05d}{'s' * is_shadow}",
                "root": f"p{n:05d}",
                "is_shadow": is_shadow,
                "at": START + n * DAY // count,
                "compute": rng.choice([0.1, 0.2, 0.3]),
                "nano": rng.randrange(1000, 9_000_000),
                "retry": rng.randrange(1000, 9_000_000) if n % 5 == 0 else None,
                "tokens": rng.randrange(10, 900),
            }
            for n, is_shadow in made
        ]
    )


def store(folder: Path, model: Model, rows: Iterable[Row] = (), *, until: int = START + DAY + HOUR) -> Layout:
    """Record rows into a new store whose clock then stands at a time."""
    layout = Layout.create(folder, replay_now=START)
    layout.declare(model)
    recorder = Recorder(layout, model.name, spool=Spool(layout))
    for row in rows:
        record(recorder, row)
    recorder.close()
    at(layout, until)
    return layout


def at(layout: Layout, now: int) -> None:
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(now)
    clock.save()


def record(recorder: Recorder, row: Row) -> None:
    error = row.get("error")
    name, root, moment = str(row["id"]), str(row["root"]), int(str(row["at"]))
    compute = row.get("compute")
    recorder.record(
        {"x": 1.0},
        score=0.5,
        prediction_id=name,
        root_id=root,
        parent_id=None if name == root else root,
        role="shadow" if row.get("is_shadow") else "stable",
        predicted_at=moment,
        compute_seconds=None if compute is None else float(str(compute)),
        unit=None if row.get("unit") is None else str(row["unit"]),
        error=None if error is None else str(error),
    )
    for attempt, field in enumerate(("nano", "retry"), 1):
        if row.get(field) is not None:
            recorder.call(
                name,
                attempt=attempt,
                called_at=moment,
                cost_nano_usd=int(str(row[field])),
                input_tokens=int(str(row["tokens"])),
            )


def cost(layout: Layout, over: str = WINDOW) -> Answer:
    return setpoint.open(layout.root).cost("m", over=over)


def lines(answer: Answer) -> dict[str, float | None]:
    return {str(row[0]): None if row[1] is None else float(str(row[1])) for row in answer.table("lines").rows}


def metric(answer: Answer, name: str) -> tuple[object, object]:
    """Return a metric's value and why it has none."""
    return next((row[1], row[6]) for row in answer.table("metrics").rows if row[0] == name)


def total(table: pl.DataFrame, column: str) -> float:
    return float(table[column].sum())


def expected_lines(table: pl.DataFrame, rates: Rates) -> dict[str, float]:
    asked, shadow = table.filter(~pl.col("is_shadow")), table.filter(pl.col("is_shadow"))
    called = (total(shadow, "nano") + total(shadow, "retry")) / 1e9
    flat, second = rates.per_prediction_usd or 0.0, rates.per_compute_second_usd or 0.0
    return {
        "calls": total(asked, "nano") / 1e9,
        "retries": total(asked, "retry") / 1e9,
        "predictions": flat * len(asked),
        "compute": second * total(asked, "compute"),
        "shadow": called + flat * len(shadow) + second * total(shadow, "compute"),
    }


def test_the_bill_has_the_flat_rates_of_shadow_rows_and_adds_up_to_the_costs_of_the_rows(tmp_path: Path) -> None:
    table = traffic()
    layout = store(tmp_path / "store", Model("m", rates=FLAT), table.to_dicts())
    every = (total(table, "nano") + total(table, "retry")) / 1e9 + 0.002 * len(table) + 0.05 * total(table, "compute")
    for _ in range(2):  # from rows, then from states
        answer = cost(layout)
        assert lines(answer) == pytest.approx(expected_lines(table, FLAT))
        assert sum(usd or 0.0 for usd in lines(answer).values()) == pytest.approx(every)
        assert metric(answer, "cost_per_prediction_usd")[0] == pytest.approx(every / 400)
        with setpoint.open(layout.root) as log, log.evidence("m") as evidence:
            assert evidence.quality(None).only(is_root=True).total("cost") == pytest.approx(every)
        tick(layout)


@pytest.mark.parametrize("keep", [0.2, 0.0])
def test_shadow_calls_stay_in_their_line_when_rows_are_not_kept(tmp_path: Path, keep: float) -> None:
    table = traffic()
    layout = store(tmp_path / "store", Model("m", rates=FLAT, keep=keep), table.to_dicts())
    with Snapshot(layout, "m") as snapshot:
        kept = query(snapshot.connection, "SELECT count(*) FROM predictions")[0][0]
        assert query(snapshot.connection, "SELECT count(*), count(key) FROM unkept WHERE role = 'shadow'") == (
            query(snapshot.connection, "SELECT count(*), 0 FROM unkept")
        )
    assert isinstance(kept, int)
    assert kept < len(table) / 3
    asked = table.filter(~pl.col("is_shadow"))
    tokens = (total(asked, "tokens") + total(asked.filter(pl.col("retry").is_not_null()), "tokens")) / len(asked)
    for _ in range(2):
        assert lines(cost(layout)) == pytest.approx(expected_lines(table, FLAT))
        status = setpoint.open(layout.root).status("m", over=WINDOW)
        found = {row[0]: row[1] for row in status.table("metrics").rows}
        assert found["tokens_per_request"] == pytest.approx(tokens)
        tick(layout)


def test_a_role_that_comes_after_its_calls_were_summed_moves_them(tmp_path: Path) -> None:
    layout = store(tmp_path / "store", Model("m", keep=0.0, rates=FLAT))
    recorder = Recorder(layout, "m", spool=Spool(layout))
    recorder.call("a", called_at=START, cost_nano_usd=1_000_000_000)
    recorder.flush()
    tick(layout)
    record(recorder, {"id": "a", "root": "r", "is_shadow": True, "at": START, "compute": 1.0})
    recorder.close()
    for _ in range(2):
        assert lines(cost(layout)) == pytest.approx({"predictions": 0, "compute": 0, "shadow": 1 + 0.002 + 0.05})
        tick(layout)


def test_a_lake_of_rows_without_a_role_is_read_and_goes_on(tmp_path: Path) -> None:
    table = traffic()
    layout = store(tmp_path / "store", Model("m", keep=0.0), table.head(200).to_dicts())
    ship(layout)
    lake = LakeTable(layout.lake("m", "unkept"))
    with Snapshot(layout, "m") as snapshot:  # as the version before wrote it
        files = ", ".join(f"'{file}'" for file in lake.files())
        lake.rewrite(snapshot.connection.sql(f"SELECT * EXCLUDE (role) FROM read_parquet([{files}])"))
    assert "role" not in LakeTable(layout.lake("m", "unkept")).columns
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for row in table.tail(-200).to_dicts():
        record(recorder, row)
    recorder.close()
    later = table.tail(-200).filter(pl.col("is_shadow"))
    for _ in range(2):
        assert lines(cost(layout))["shadow"] == pytest.approx((total(later, "nano") + total(later, "retry")) / 1e9)
        tick(layout)
    assert "role" in LakeTable(layout.lake("m", "unkept")).columns


def rows_of(count: int, **fields: object) -> list[Row]:
    return [
        {"id": f"q{n}", "root": f"q{n}", "at": START + n * HOUR, "tokens": 1}
        | {name: value(n) if callable(value) else value for name, value in fields.items()}
        for n in range(count)
    ]


def some(n: int) -> int | None:
    return 1_000_000 if n % 2 else None


SECONDS = Rates(per_compute_second_usd=0.05)
UNKNOWN = {
    "no compute time at all": (SECONDS, {}, "compute", "20 predictions without compute_seconds"),
    "some without compute time": (SECONDS, {"compute": some}, "compute", "10 predictions without compute_seconds"),
    "no rate and some without a call": (Rates(), {"nano": some}, "uncosted", "10 predictions without any cost"),
}


@pytest.mark.parametrize(("case", "keep"), [*((case, 1.0) for case in UNKNOWN), ("no compute time at all", 0.0)])
def test_an_unknown_line_makes_the_total_unknown_and_all_that_comes_of_it(
    tmp_path: Path, case: str, keep: float
) -> None:
    rates, fields, line, why = UNKNOWN[case]
    layout = store(tmp_path / "store", Model("m", rates=rates, keep=keep), rows_of(20, **fields))
    for _ in range(2):
        answer = cost(layout)
        assert lines(answer)[line] is None
        for name in ("cost_per_prediction_usd", "cost_per_success_usd"):
            value, reason = metric(answer, name)
            assert value is None
            assert str(reason).startswith(why)
        assert "for an unknown amount in all" in answer.text()
        tick(layout)


def test_shadow_rows_without_compute_time_leave_their_line_unknown_and_the_other_known(tmp_path: Path) -> None:
    shadow: Row = {"id": "s", "root": "q0", "is_shadow": True, "at": START}
    layout = store(tmp_path / "store", Model("m", rates=SECONDS), [*rows_of(20, compute=2.0), shadow])
    answer = cost(layout)
    assert lines(answer) == {"compute": pytest.approx(2.0), "shadow": None}
    assert "1 shadow prediction without compute_seconds" in answer.text()


KNOWN = {
    "all have a call": (Rates(), {"nano": 2_000_000}, 0.002),
    "a flat rate and some calls": (Rates(per_prediction_usd=0.01), {"nano": some}, 0.01 + 0.0005),
    "compute time that is nothing": (SECONDS, {"compute": 0.0}, 0.0),
}


@pytest.mark.parametrize("case", KNOWN)
def test_what_is_known_of_all_stays_known(tmp_path: Path, case: str) -> None:
    rates, fields, usd = KNOWN[case]
    layout = store(tmp_path / "store", Model("m", rates=rates), rows_of(20, **fields))
    assert metric(cost(layout), "cost_per_prediction_usd") == (pytest.approx(usd), None)


@pytest.mark.parametrize(
    ("over", "lived"),
    [
        ("2025-12-01..2026-01-03", 2 * DAY),  # before the first prediction nothing is due
        ("2026-01-02..2026-02-01", 5 * DAY),  # nor what lies ahead
        ("2026-01-02..2026-01-04", 2 * DAY),
    ],
)
def test_a_monthly_cost_is_due_for_the_time_that_was_lived(tmp_path: Path, over: str, lived: int) -> None:
    model = Model("m", rates=Rates(per_month_usd=90.0))
    layout = store(tmp_path / "store", model, rows_of(24 * 6), until=START + 6 * DAY)
    assert lines(cost(layout, over))["monthly"] == pytest.approx(90.0 * lived / MONTH)


def test_a_monthly_cost_of_predictions_without_times_is_unknown() -> None:
    model = Model("m", rates=Rates(per_month_usd=90.0))
    answer = setpoint.read(pl.DataFrame({"score": [0.2, 0.9] * 20, "outcome": [0, 1] * 20}), model=model).cost()
    assert lines(answer) == {"monthly": None}
    assert "no times" in str(metric(answer, "cost_per_prediction_usd")[1])


@pytest.mark.parametrize("per_second", [None, 0.001])
def test_idle_capacity_is_what_was_there_and_not_used(tmp_path: Path, per_second: float | None) -> None:
    rates = Rates(per_idle_hour_usd=3.0, capacity=2.0, per_compute_second_usd=per_second)
    layout = store(tmp_path / "store", Model("m", rates=rates), rows_of(24, compute=0.5), until=START + DAY)
    told = lines(cost(layout))
    used = 24 * 0.5
    assert told["idle"] == pytest.approx(3.0 * (48 - used / 3600))
    assert told.get("compute") == (None if per_second is None else pytest.approx(0.001 * used))


def test_nobody_knows_what_was_idle_when_compute_is_not_told(tmp_path: Path) -> None:
    model = Model("m", rates=Rates(per_idle_hour_usd=3.0, capacity=2.0))
    layout = store(tmp_path / "store", model, rows_of(24), until=START + DAY)
    assert lines(cost(layout)) == {"idle": None}
    with pytest.raises(DeclarationError, match="expected both or neither"):
        Rates(capacity=2.0)


def failed(n: int) -> str | None:
    return "timeout" if n < 4 else None


def unless_failed(n: int) -> int | None:
    return None if failed(n) else 2_000_000


def test_a_failed_prediction_without_a_call_was_billed_nothing(tmp_path: Path) -> None:
    layout = store(tmp_path / "store", Model("m"), rows_of(20, nano=unless_failed, error=failed))
    for _ in range(2):
        answer = cost(layout)
        assert lines(answer) == {"calls": pytest.approx(0.032)}
        assert metric(answer, "cost_per_prediction_usd") == (pytest.approx(0.032 / 20), None)
        tick(layout)


def test_failures_alone_do_not_say_that_predictions_are_free(tmp_path: Path) -> None:
    layout = store(tmp_path / "store", Model("m"), rows_of(20, error=lambda _: "timeout"))
    value, why = metric(cost(layout), "cost_per_prediction_usd")
    assert (value, str(why).split(":")[0]) == (None, "no price is known")


def test_a_bill_with_holes_says_how_many_and_what_it_is_at_least(tmp_path: Path) -> None:
    layout = store(tmp_path / "store", Model("m"), rows_of(20, nano=lambda n: 2_000_000 if n < 15 else None))
    for _ in range(2):
        answer = cost(layout)
        assert answer.table("priced").rows == [(20, 5, 0.25, pytest.approx(0.03), pytest.approx(0.03))]
        assert "at least $0.03 in all: that much has a price" in answer.text()
        assert "5 predictions of 20 (25.0 %) have no known price; the other 15 cost $0.03" in answer.text()
        tick(layout)


def test_what_is_known_of_a_line_stands_beside_it(tmp_path: Path) -> None:
    layout = store(tmp_path / "store", Model("m", rates=SECONDS), rows_of(20, compute=lambda n: 2.0 if n % 2 else None))
    answer = cost(layout)
    assert [(row[0], row[1], row[5]) for row in answer.table("lines").rows] == [("compute", None, pytest.approx(1.0))]
    assert "unknown, at least $1.00" in answer.text()
    assert answer.verdict.value == "unknown"


TICKETS = Model("m", cost_unit="ticket", rates=Rates(per_prediction_usd=0.01))


def test_a_unit_is_a_different_value_of_unit_among_root_predictions_of_the_window(tmp_path: Path) -> None:
    shadow: Row = {"id": "s", "root": "q0", "is_shadow": True, "at": START, "unit": "of a shadow row"}
    rows = [*rows_of(30, unit=lambda n: f"t{n % 7}" if n < 24 else "tomorrow"), shadow]
    layout = store(tmp_path / "store", TICKETS, rows)
    for _ in range(2):
        answer = cost(layout)
        assert metric(answer, "cost_per_ticket_usd") == (pytest.approx(0.01 * 25 / 7), None)
        tick(layout)


def test_units_of_a_file_are_counted_too_unless_its_rows_are_a_sample() -> None:
    table = pl.DataFrame({"score": [0.2, 0.9] * 20, "outcome": [0, 1] * 20, "unit": [f"t{n // 4}" for n in range(40)]})
    answer = setpoint.read(table, model=TICKETS).cost()
    assert metric(answer, "cost_per_ticket_usd") == (pytest.approx(0.01 * 40 / 10), None)
    assert "a ticket costs $0.04" in answer.headline
    sampled = table.with_columns(keep_probability=pl.lit(0.5))
    value, why = metric(setpoint.read(sampled, model=TICKETS).cost(), "cost_per_ticket_usd")
    assert (value, str(why)) == (None, "units cannot be counted: 40 rows stand for others that were not kept")


@pytest.mark.parametrize(
    ("keep", "unit", "why"),
    [
        (0.2, "t", "units cannot be counted while rows are sampled"),
        (1.0, None, "no prediction carries a unit: pass unit="),
        (1.0, some, "12 predictions of 24 carry no unit: pass unit="),
    ],
)
def test_units_that_cannot_be_counted_are_unknown(tmp_path: Path, keep: float, unit: object, why: str) -> None:
    layout = store(tmp_path / "store", replace(TICKETS, keep=keep), rows_of(24, unit=unit))
    answer = cost(layout)
    value, reason = metric(answer, "cost_per_ticket_usd")
    assert value is None
    assert str(reason).startswith(why)
    assert "24 predictions for $0.24 in all" in answer.text()


def test_an_outcome_that_costs_something_is_estimated_when_rows_are_sampled() -> None:
    model = Model("", rates=Rates(per_prediction_usd=0.0, per_outcome_usd=0.5))
    rng, held, count = random.Random(5), 0, 2000
    table = pl.DataFrame(
        {"score": [0.1, 0.9] * (count // 2), "outcome": [n % 2 if n % 3 else None for n in range(count)]}
    )
    came = table["outcome"].count()
    for seed in range(100):
        kept = table.filter(pl.Series([rng.random() < 0.1 for _ in range(count)]))
        answer = setpoint.read(kept.with_columns(keep_probability=pl.lit(0.1)), model=model).cost()
        (line,) = [row for row in answer.table("lines").rows if row[0] == "outcomes"]
        assert line[6] is not None
        assert line[7] is not None
        low, high = float(str(line[6])), float(str(line[7]))
        held += low <= 0.5 * came <= high
        if not seed:
            assert f"[{number(low, 'usd')}, {number(high, 'usd')}] in all" in answer.because[0]
    assert 90 <= held <= 99
    exact = setpoint.read(table, model=model).cost()
    (line,) = [row for row in exact.table("lines").rows if row[0] == "outcomes"]
    assert (line[1], line[6], line[7]) == (0.5 * came, None, None)
    assert exact.because[0].endswith(f"for {number(0.5 * came, 'usd')} in all")
    assert exact.table("metrics").rows[1][2] is None


def test_the_cost_of_a_success_allows_for_how_many_outcomes_were_paid_for() -> None:
    table = pl.DataFrame({"score": [0.1, 0.9] * 200, "outcome": [0, 1] * 150 + [1, 0] * 50})
    sampled = table.with_columns(keep_probability=pl.lit(0.1))

    def width(rates: Rates) -> float:
        row = setpoint.read(sampled, model=Model("", rates=rates)).cost().table("metrics").rows[0]
        return float(str(row[3])) - float(str(row[2]))

    assert width(Rates(per_prediction_usd=0.1, per_outcome_usd=1.0)) > 1.5 * width(Rates(per_prediction_usd=1.1))
