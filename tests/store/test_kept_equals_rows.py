"""Every number from kept states equals the same number from rows, whatever arrived late."""

from __future__ import annotations

import random
from contextlib import closing
from decimal import Decimal
from itertools import count

import numpy as np
import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.ids import keeps
from setpoint.core.model import Cohort, Model, OutcomeKind, Rates, Silence, Success, Task
from setpoint.core.prices import Price, PriceBook
from setpoint.core.window import Window
from setpoint.predictions.pricing import reprice
from setpoint.predictions.recorder import Recorder
from setpoint.store.evidence import SCORE, RowEvidence
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.measures import COHORT_VALUES, OTHER
from setpoint.store.snapshot import Snapshot
from setpoint.store.states import StateTable
from setpoint.store.summaries import Summaries
from setpoint.testing import Traffic, simulate, temporary_store

START = 1_767_225_600_000_000  # 2026-01-01
MODELS = {
    "plain": Model("m", cohorts=(Cohort("country", by="country"), Cohort("big", where="amount > 30"))),
    "sampled": Model("m", keep=0.3, keep_where="country = 'nl'", rates=Rates(per_prediction_usd=0.01)),
    "zoned": Model("m", timezone="Asia/Kolkata", cohorts=(Cohort("new", by="is_new"),)),
    "summer time": Model("m", timezone="America/New_York"),
    "silent": Model("m", outcome_if_silent=Silence(0.0, 12 * HOUR), outcome_horizon=2 * DAY),
    "threshold": Model("m", success=Success(threshold=0.7), rates=Rates(per_compute_second_usd=0.5)),
    "regression": Model("m", task=Task.REGRESSION, success=Success(tolerance=0.3)),
    "multiclass": Model("m", task=Task.MULTICLASS, cohorts=(Cohort("country", by="country"),)),
    "ranking": Model("m", task=Task.RANKING, success=Success(top=5), outcome_if_silent=Silence(0.0, 12 * HOUR)),
    "generation": Model(
        "m",
        task=Task.GENERATION,
        outcomes=(OutcomeKind("people"), OutcomeKind("judge", final=False, judge=True)),
        keep=0.5,
    ),
}


def canonical(table: StateTable) -> dict[tuple[object, ...], np.ndarray]:
    place = table.kind.keys.index("bucket")
    rows: dict[tuple[object, ...], np.ndarray] = {}
    for key, values in zip(table.keys, table.values, strict=True):
        name = (*key[:place], *key[place + 1 :])
        assert name not in rows, f"{name} stands twice"
        rows[name] = values
    return {name: values for name, values in rows.items() if np.any(values[: len(table.kind.sums)] != 0)}


def assert_same(kept: StateTable, rows: StateTable) -> None:
    left, right = canonical(kept), canonical(rows)
    assert left.keys() == right.keys()
    found, expected = list(left.values()), [right[name] for name in left]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=kept.kind.name)


def compare(layout: Layout, windows: list[Window]) -> KeptEvidence:
    model = layout.model("m")
    now = layout.clock.now()
    with Summaries.reading(layout.summaries("m")) as summaries, Snapshot(layout, "m") as snapshot:
        kept = KeptEvidence(layout, model, now, now, summaries)
        rows = RowEvidence(snapshot.connection, model, snapshot.columns, now)
        rows.definition = kept.definition
        rows.told_apart = kept.told_apart
        try:
            for window in windows:
                assert_same(kept.traffic(window), rows.traffic(window))
                assert_same(kept.spending(window), rows.spending(window))
                assert_same(kept.exposure(window), rows.exposure(window))
                cohorts = ("", *(cohort.name for cohort in model.cohorts))
                qualities, arrivals = rows.qualities(window, cohorts), rows.arrivals_by_cohort(window, cohorts)
                money = rows.money_by_cohort(window, cohorts)
                for cohort in cohorts:
                    assert_same(kept.quality(window, cohort=cohort), qualities[cohort])
                    assert_same(kept.arrivals(window, cohort=cohort), arrivals[cohort])
                    assert_same(kept.money(window, cohort=cohort), money[cohort])
                assert_same(kept.profile(window), rows.profile(window))
                profiles = rows.profiles_by_cohort(window, tuple(rows.cohorts))
                for cohort, profile in profiles.items():
                    assert_same(kept.profile(window, cohort=cohort), profile)
            assert kept.span == rows.span
            assert kept.changes(None) == rows.changes(None)
        finally:
            kept.close()
    return kept


@pytest.mark.parametrize("name", MODELS)
def test_numbers_from_states_equal_numbers_from_rows(name: str) -> None:
    start = START + 66 * DAY if name == "summer time" else START
    rng = random.Random(name)
    with temporary_store(MODELS[name], replay_now=start) as (layout, spool):
        task = MODELS[name].task
        traffic = Traffic(start=start, days=4.0, per_day=300, seed=len(name), task=task)
        pauses: tuple[int, ...] = tuple(start + round(day * DAY) for day in (0.7, 2.6))
        while pauses:
            pauses = tuple(simulate(layout, spool, "m", traffic, pauses=pauses))
            if rng.random() < 0.7:
                tick(layout)
            now = layout.clock.now()
            ends = sorted(rng.randrange(start, now) for _ in range(4))
            compare(layout, [rng.choice([Window(start, now), Window(ends[1], ends[2])])])
        simulate(layout, spool, "m", traffic)
        spool.close()
        tick(layout)
        tick(layout)
        whole = Window(start, layout.clock.now() // HOUR * HOUR)
        kept = compare(layout, [whole, Window(start + DAY, start + 3 * DAY)])
        assert not kept.news


@pytest.mark.parametrize("name", ["plain", "sampled"])
def test_calls_that_are_priced_anew_are_in_states_as_in_rows(name: str) -> None:
    first = Price("openai", "mini", per_million_tokens={"input": Decimal(2)})
    dearer = Price("openai", "mini", per_million_tokens={"input": Decimal(3)})
    rng = random.Random(7)
    with temporary_store(MODELS[name], replay_now=START) as (layout, spool):
        assert isinstance(layout.clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        for hour in range(40):
            layout.clock.set(START + hour * HOUR)
            for _ in range(rng.randrange(4)):
                role = rng.choice([None, "shadow"])
                done = recorder.record({"country": "de", "amount": 40.0}, score=0.9, role=role)
                for attempt in (1, 2):
                    called = rng.choice(["mini", "other"])
                    tokens = rng.randrange(1000)
                    recorder.call(done, attempt=attempt, provider="openai", provider_model=called, input_tokens=tokens)
                recorder.outcome(1, prediction_id=done)
        layout.clock.set(START + 41 * HOUR)
        windows = [Window(START, START + 41 * HOUR), Window(START + 7 * HOUR, START + 20 * HOUR)]
        spool.close()
        tick(layout)
        totals: list[float] = []
        for book in (PriceBook((first,)), PriceBook((dearer,)), PriceBook((dearer,)), PriceBook((first,))):
            layout.put_prices(book)
            assert reprice(layout, "m", book) or book.prices == (dearer,)
            compare(layout, windows[:1])
            tick(layout)
            compare(layout, windows[1:])
            with Snapshot(layout, "m") as snapshot:
                rows = RowEvidence(snapshot.connection, layout.model("m"), snapshot.columns, layout.clock.now())
                totals.append(rows.spending(windows[0]).total("usd"))
        assert totals == pytest.approx([totals[0], 1.5 * totals[0], 1.5 * totals[0], totals[0]])
        assert totals[0] > 0


def test_days_of_which_all_some_or_no_hours_are_kept_equal_days_of_rows() -> None:
    with temporary_store(Model("m", outcome_horizon=30 * DAY), replay_now=START) as (layout, spool):
        assert isinstance(layout.clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        for hour in range(6 * 24):
            layout.clock.set(START + hour * HOUR)
            recorder.record({"amount": hour % 7}, score=hour / 200, key=str(hour))
        recorder.flush(60)
        spool.close()
        layout.clock.set(START + 6 * DAY)
        tick(layout)
        with closing(Recorder(layout, "m")) as later:
            for hour in range(6 * 24, 8 * 24):
                layout.clock.set(START + hour * HOUR)
                later.record({"amount": hour % 5}, score=hour / 200, key=str(hour))
            late = [*range(24, 72), 100]  # two whole days, and an hour of another
            for hour in late:
                later.outcome(hour % 3 == 0, key=str(hour), observed_at=START + 8 * DAY - HOUR)
        layout.clock.set(START + 8 * DAY)
        window, now, model = Window(START, START + 8 * DAY), START + 8 * DAY, layout.model("m")
        with (
            Summaries.reading(layout.summaries("m")) as summaries,
            Snapshot(layout, "m") as snapshot,
            closing(KeptEvidence(layout, model, now, now, summaries)) as kept,
        ):
            rows = RowEvidence(snapshot.connection, model, snapshot.columns, now)
            rows.definition = kept.definition
            assert {(start - START) // HOUR for start in kept.dirty if start < START + 6 * DAY} == set(late)
            for by_day in ("profile_by_day", "quality_by_day", "arrivals_by_day"):
                found, expected = getattr(kept, by_day)(window), getattr(rows, by_day)(window)
                assert [day for day, _ in found] == [START + n * DAY for n in range(8)]
                for (day, state), (other, state_of_rows) in zip(found, expected, strict=True):
                    assert day == other
                    assert_same(state, state_of_rows)


def test_states_alone_answer_without_opening_the_event_log() -> None:
    with temporary_store(MODELS["plain"], replay_now=START) as (layout, spool):
        simulate(layout, spool, "m", Traffic(start=START, days=2.0))
        spool.close()
        tick(layout)
        model, now = layout.model("m"), layout.clock.now()
        with Summaries.reading(layout.summaries("m")) as summaries:
            evidence = KeptEvidence(layout, model, now, now, summaries)
            state = evidence.quality(Window(START, START + 2 * DAY))
            assert state.total("rows") > 1000
            assert evidence._opened is None


def test_a_feature_and_a_cohort_value_that_come_later_change_no_number() -> None:
    model = Model("m", cohorts=(Cohort("shop", by="shop"),))
    with temporary_store(model, replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        for day in range(3):
            for n in range(90):
                clock.set(START + day * DAY + n * HOUR // 4)
                inputs: dict[str, object] = {"shop": f"shop-{n * (day + 1) % (40 + 20 * day)}", "x": n / 7}
                if day == 2:
                    inputs |= {"y": float(n), "z": f"z{n % 3}"}
                recorder.record(inputs, score=(n % 10) / 10, version=f"v{day}")
            recorder.flush()
            clock.set(START + (day + 1) * DAY)
            tick(layout)
            clock.set(clock.now() + 1)
            tick(layout)
            compare(layout, [Window(START, START + (day + 1) * DAY), Window(START, START + day * DAY + 7 * HOUR)])
        with Summaries.reading(layout.summaries("m")) as summaries:
            kept = KeptEvidence(layout, layout.model("m"), clock.now(), clock.now(), summaries)
            shops = kept.profile(Window(START, START + 3 * DAY), cohort="shop")
            assert OTHER in shops.key("cohort_value")
            assert len(set(shops.key("cohort_value"))) == COHORT_VALUES + 1
            assert shops.only(feature=SCORE, part="moments").total("rows") == 270
            kept.close()
        spool.close()


def spent_usd(layout: Layout, window: Window) -> float:
    """Return what was spent by the kept states, after holding them against the rows."""
    compare(layout, [window, Window(START, layout.clock.now() + 1)])
    now = layout.clock.now()
    with Summaries.reading(layout.summaries("m")) as summaries:
        kept = KeptEvidence(layout, layout.model("m"), now, now, summaries)
        try:
            return kept.spending(window).total("usd")
        finally:
            kept.close()


def test_what_is_billed_after_the_last_prediction_is_kept_too() -> None:
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        recorder, clock = Recorder(layout, "m", spool=spool), layout.clock
        assert isinstance(clock, ReplayClock)
        names = [recorder.record({"x": float(n)}, score=0.5) for n in range(50)]
        whole = Window(START, START + 3 * DAY)
        for part, usd in ((names[:25], 25.0), (names[25:], 50.0)):
            clock.set(clock.now() + 2 * DAY if usd == 25.0 else clock.now() + HOUR // 4)
            for name in part:
                recorder.call(name, cost_nano_usd=1_000_000_000)
            spool.close()
            tick(layout)  # the hour of the calls is still open
            assert spent_usd(layout, whole) == usd
        clock.set(START + 2 * DAY + 2 * HOUR)
        for _ in range(2):
            tick(layout)
            assert spent_usd(layout, whole) == 50.0


def test_calls_of_rows_that_were_not_kept_count_in_their_own_hours() -> None:
    """Before the first row that was kept there may be calls: they are not those of a window that begins later."""
    with temporary_store(Model("m", keep=0.5), replay_now=START) as (layout, spool):
        assert isinstance(layout.clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        for hour in range(12):
            layout.clock.set(START + hour * HOUR)
            for n in range(50):  # of the first six hours no row is kept, of the others each
                name = next(name for m in count() if keeps(name := f"{hour}-{n}-{m}", 0.5) is (hour >= 6))
                done = recorder.record({"country": "de"}, score=0.9, prediction_id=name)
                recorder.call(done, cost_nano_usd=1)
        layout.clock.set(START + 14 * HOUR)
        spool.close()
        tick(layout)
        compare(layout, [Window(START + 3 * HOUR, START + 14 * HOUR)])
