"""A new price is paid from its date on: what was predicted before keeps the old one, in states and in rows."""

from __future__ import annotations

from pathlib import Path

import pytest

import setpoint
from setpoint.answers.answer import Answer
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR, MICROS, text
from setpoint.core.errors import DeclarationError
from setpoint.core.model import Model
from setpoint.core.rates import Rates, within
from setpoint.core.window import Window
from setpoint.predictions.recorder import Recorder
from setpoint.project.keeping import collect_garbage
from setpoint.project.plan import apply, plan
from setpoint.store.engines.duck import rows as query
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01
CHANGED = START + 2 * DAY + 7 * HOUR + 20 * 60 * MICROS  # within an hour: the new price is paid from 8 o'clock on
HOURS = 4 * 24
OLD, NEW = 0.002, 0.005
EVERY = "2026-01-01..2026-01-05"
KEYS = "outcome_horizon: 1d\nretention: {age: 1d}\n"


def declare(folder: Path, rates: str) -> Path:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models" / "m.yaml").write_text(f"{KEYS}rates: {rates}\n")
    return folder


def at(layout: Layout, now: int) -> None:
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(now)
    clock.save()


def record(layout: Layout, start: int, end: int) -> None:
    """Record a prediction an hour, version by turns, each with its outcome."""
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for hour in range(start, end):
        name, made = f"p{hour}", START + hour * HOUR + 30 * 60 * MICROS
        recorder.record({"x": 1.0}, score=0.9, prediction_id=name, version=f"v{hour % 2}", predicted_at=made)
        recorder.outcome(1, prediction_id=name, observed_at=made + MICROS)
    recorder.close()


def changed(folder: Path, old: str, new: str, *, ticks: bool = True) -> Layout:
    """Record under a price, put another in force, and record on until the fourth day is over."""
    layout = Layout.create(folder / "store", replay_now=START)
    apply(declare(folder, old))
    at(layout, CHANGED)
    record(layout, 0, 55)
    if ticks:
        tick(layout)
    apply(declare(folder, new))
    at(layout, START + 4 * DAY + HOUR)
    record(layout, 55, HOURS)
    return layout


def cost(layout: Layout, over: str = EVERY, by: str = "") -> Answer:
    return setpoint.open(layout.root).cost("m", over=over, by=by)


def line(answer: Answer, name: str = "predictions") -> float:
    return next(float(str(row[1])) for row in answer.table("lines").rows if row[0] == name)


def grouped(answer: Answer, by: str) -> dict[object, object]:
    return {row[0]: row[1] for row in answer.table(f"by_{by}").rows}


def test_the_new_price_is_paid_from_the_next_hour_on_in_states_and_in_rows(tmp_path: Path) -> None:
    layout = changed(tmp_path, f"{{per_prediction_usd: {OLD}}}", f"{{per_prediction_usd: {NEW}}}")
    third = (8 * OLD + 16 * NEW) / 24
    for _ in range(2):  # from rows, then from states
        assert line(cost(layout)) == pytest.approx(56 * OLD + 40 * NEW)
        assert line(cost(layout, "2026-01-01..2026-01-03")) == pytest.approx(48 * OLD)
        assert line(cost(layout, "2026-01-04..2026-01-05")) == pytest.approx(24 * NEW)
        assert line(cost(layout, "2026-01-03T06:00..2026-01-03T10:00")) == pytest.approx(2 * OLD + 2 * NEW)
        days = grouped(cost(layout, by="day"), "day")
        assert list(days.values()) == pytest.approx([OLD, OLD, third, NEW])
        versions = grouped(cost(layout, by="version"), "version")
        assert list(versions.values()) == pytest.approx([(28 * OLD + 20 * NEW) / 48] * 2)
        with setpoint.open(layout.root) as log, log.evidence("m") as evidence:
            assert evidence.quality(None).total("cost") == pytest.approx(56 * OLD + 40 * NEW)
        tick(layout)


def test_states_of_the_old_price_stay_and_are_not_made_anew(tmp_path: Path) -> None:
    layout = changed(tmp_path, f"{{per_prediction_usd: {OLD}}}", f"{{per_prediction_usd: {NEW}}}")
    with setpoint.open(layout.root) as log, log.evidence("m") as evidence:
        assert isinstance(evidence, KeptEvidence)
        assert evidence.progress is not None
        assert min(evidence.dirty) == START + 55 * HOUR  # what was recorded since


def test_days_whose_rows_were_let_go_keep_their_old_price(tmp_path: Path) -> None:
    layout = changed(tmp_path, f"{{per_prediction_usd: {OLD}}}", f"{{per_prediction_usd: {NEW}}}")
    tick(layout)
    assert collect_garbage(layout.root)["m"].before == "2026-01-04"
    for rates, last in ((f"{{per_prediction_usd: {NEW}}}", NEW), ("{per_prediction_usd: 9, since: 2025-01-01}", 9)):
        found = plan(declare(tmp_path, rates))
        assert not found.models[0].lost
        apply(tmp_path)
        for _ in range(2):
            answer = cost(layout, by="day")
            assert list(grouped(answer, "day").values())[:2] == pytest.approx([OLD, OLD])
            assert list(grouped(answer, "day").values())[3] == pytest.approx(last)
            tick(layout)


def test_the_month_before_keeps_its_monthly_price(tmp_path: Path) -> None:
    layout = changed(tmp_path, "{per_month_usd: 100}", "{per_month_usd: 10}")
    month = 365.25 / 12 * DAY
    first = 2 * DAY + 8 * HOUR
    lived = 4 * DAY - 30 * 60 * MICROS
    for _ in range(2):
        old, new = 100 * (first - 30 * 60 * MICROS) / month, 10 * (lived + 30 * 60 * MICROS - first) / month
        assert line(cost(layout), "monthly") == pytest.approx(old + new)
        assert line(cost(layout, "2026-01-02..2026-01-03"), "monthly") == pytest.approx(100 * DAY / month)
        tick(layout)


def test_a_list_tells_the_whole_history_and_prices_the_past_anew(tmp_path: Path) -> None:
    history = f"[{{per_prediction_usd: 0.001}}, {{since: 2026-01-02, per_prediction_usd: {NEW}}}]"
    layout = changed(tmp_path, f"{{per_prediction_usd: {OLD}}}", history)
    for _ in range(2):
        assert line(cost(layout)) == pytest.approx(24 * 0.001 + 72 * NEW)
        assert list(grouped(cost(layout, by="day"), "day").values()) == pytest.approx([0.001, NEW, NEW, NEW])
        tick(layout)


def test_before_the_first_price_the_cost_is_unknown(tmp_path: Path) -> None:
    layout = changed(tmp_path, f"{{per_prediction_usd: {OLD}, since: 2026-01-02}}", "{per_prediction_usd: 0.002}")
    assert "no price is known" in cost(layout, "2026-01-01..2026-01-02").headline
    assert "24 predictions without any cost" in cost(layout, "2026-01-01..2026-01-03").headline
    assert line(cost(layout, "2026-01-02..2026-01-03")) == pytest.approx(24 * OLD)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{per_prediction_usd: 2}", "{per_prediction_usd: 5}", "other prices from 2026-01-03 08:00 on"),
        ("{}", "{per_prediction_usd: 5}", "other prices since ever: predictions made by now are priced anew"),
        (
            "{per_prediction_usd: 2}",
            "[{per_prediction_usd: 2}, {since: 2026-01-02, per_prediction_usd: 5}]",
            "other prices from 2026-01-02 00:00 on: predictions made by now are priced anew",
        ),
    ],
)
def test_the_plan_says_from_when_on_a_price_holds_and_what_is_priced_anew(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    layout = Layout.create(tmp_path / "store", replay_now=START)
    apply(declare(tmp_path, old))
    at(layout, CHANGED)
    before = "2.0" if "2" in old else "not set"
    assert plan(declare(tmp_path, new)).text(storage=False).splitlines() == [
        f"~ m.rates.per_prediction_usd: {before} -> 5.0",
        f"~ m: {said}",
    ]
    apply(tmp_path)
    assert plan(tmp_path).is_empty


def test_applying_a_price_records_a_change_of_price_at_its_date(tmp_path: Path) -> None:
    layout = changed(tmp_path, "{per_prediction_usd: 2}", "{per_prediction_usd: 5}")
    with Snapshot(layout, "m") as snapshot:
        found = query(
            snapshot.connection, "SELECT subject, epoch_us(started_at), note FROM changes WHERE kind = 'price'"
        )
    assert [(name, text(int(str(when))), note) for name, when, note in found] == [
        ("rates", "2026-01-03 08:00", "rates.per_prediction_usd: 2.0 -> 5.0")
    ]


def test_a_price_may_be_taken_back_within_its_hour(tmp_path: Path) -> None:
    layout = changed(tmp_path, "{per_prediction_usd: 2}", "{per_prediction_usd: 5}")
    at(layout, CHANGED)
    apply(declare(tmp_path, "{per_prediction_usd: 2}"))
    assert layout.model("m").rates == Rates(2.0)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Rates(1.0, since=START + MICROS), "expected a whole quarter of an hour"),
        (lambda: Rates(1.0, since=START, earlier=Rates(2.0, since=START)), "not later than the ones before them"),
        (lambda: Rates(1.0, earlier=Rates(2.0)), "not later than the ones before them"),
    ],
)
def test_dates_that_do_not_rise_are_refused(make: object, said: str) -> None:
    assert callable(make)
    with pytest.raises(DeclarationError, match=said):
        make()


def test_a_window_is_split_where_prices_change() -> None:
    rates = Rates(2.0, since=START, earlier=Rates(1.0))
    assert within(rates, Window(START, START)) == [(rates, Window(START, START))]
    assert within(rates, Window(START - 5, START)) == [(Rates(1.0), Window(START - 5, START))]
    assert within(rates, None) == [(rates, None)]
    assert Model("m", rates=rates).rates.periods == (Rates(1.0), rates)
