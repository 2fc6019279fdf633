"""What is let go: by age, by size, never before its outcome can have come; summaries stay."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import UsageError
from setpoint.core.model import Cohort, Model, Rates, Retention
from setpoint.core.window import Window
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.store.carrying import KINDS, reformed
from setpoint.store.kept import KeptEvidence
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.retention import Collected, collect
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool
from setpoint.store.states import StateTable
from setpoint.store.summaries import Summaries, basis
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000  # 2026-01-01
DAYS = 20


def record(layout: Layout, spool: Spool) -> None:
    """Record ten predictions an hour for the days, each with its outcome an hour later, and tick."""
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    recorder = Recorder(layout, "m", spool=spool)
    for hour in range(0, DAYS * 24, 6):
        clock.set(START + hour * HOUR)
        for n in range(10):
            name = f"{hour}-{n}"
            recorder.record(
                {"x": float(n)},
                prediction_id=name,
                key=name,
                unit=name,
                score=n / 10,
                prediction=n % 2,
                latency_seconds=0.1,
            )
        clock.set(START + (hour + 1) * HOUR)
        for n in range(10):
            recorder.outcome(n % 2, prediction_id=f"{hour}-{n}")
    recorder.close()
    clock.set(START + DAYS * DAY)
    tick(layout)


def days(layout: Layout, table: str = "predictions", column: str = "predicted_at") -> list[str]:
    with Snapshot(layout, "m", tables=(table,)) as snapshot:
        sql = f"SELECT DISTINCT CAST(CAST({column} AS DATE) AS VARCHAR) AS day FROM {table} ORDER BY day"
        return [str(row[0]) for row in snapshot.connection.execute(sql).fetchall()]


def totals(layout: Layout) -> tuple[float, float]:
    now = layout.clock.now()
    with Summaries.reading(layout.summaries("m")) as summaries:
        kept = KeptEvidence(layout, layout.model("m"), now, now, summaries)
        try:
            window = Window(START, START + DAYS * DAY)
            requests = kept.traffic(window).where(lambda key: key["measure"] == "requests").total("amount")
            return kept.quality(window).where(lambda key: key["outcome"] is not None).total("rows"), requests
        finally:
            kept.close()


def let_go(layout: Layout, model: Model) -> Collected:
    layout.declare(model)
    return collect(layout, layout.model("m"), layout.clock.now())


def test_old_days_go_by_age_and_their_summaries_stay() -> None:
    with temporary_store(Model("m", outcome_horizon=2 * DAY), replay_now=START) as (layout, spool):
        record(layout, spool)
        before = totals(layout)
        assert before == (800.0, 800.0)
        done = let_go(layout, replace(layout.model("m"), retention=Retention(age=5 * DAY)))
        assert (done.before, done.why) == ("2026-01-16", "the declared age")
        assert days(layout) == [f"2026-01-{day}" for day in range(16, 21)]
        assert days(layout, "tallies", "bucket_at") == [f"2026-01-{day}" for day in range(16, 21)]
        assert totals(layout) == before
        tick(layout)
        assert totals(layout) == before, "nothing is recomputed from rows that are gone"
        again = let_go(layout, layout.model("m"))
        assert (again.before, again.files) == ("", 0)


def test_a_late_outcome_of_a_day_that_is_gone_changes_no_summary() -> None:
    with temporary_store(Model("m", outcome_horizon=2 * DAY), replay_now=START) as (layout, spool):
        record(layout, spool)
        before = totals(layout)
        let_go(layout, replace(layout.model("m"), retention=Retention(age=5 * DAY)))
        recorder = Recorder(layout, "m", spool=spool)
        recorder.outcome(1, prediction_id="0-0", revision=1)
        recorder.outcome(1, key="6-0", observed_at=START + 7 * HOUR)
        recorder.close()
        tick(layout)
        assert totals(layout) == before


def test_nothing_goes_before_its_outcome_can_have_come() -> None:
    with temporary_store(Model("m", outcome_horizon=10 * DAY), replay_now=START) as (layout, spool):
        record(layout, spool)
        done = let_go(layout, replace(layout.model("m"), retention=Retention(age=2 * DAY, size_bytes=1)))
        assert done.before == "2026-01-11"
        assert "outcomes may still come for 10 days" in done.why
        assert days(layout) == [f"2026-01-{day}" for day in range(11, 21)]


def test_old_days_go_until_the_rest_fits_the_size() -> None:
    with temporary_store(Model("m", outcome_horizon=2 * DAY), replay_now=START) as (layout, spool):
        record(layout, spool)
        sizes: dict[str, int] = {}
        for table in ("predictions", "outcomes", "tallies"):
            for day, size in LakeTable(layout.lake("m", table)).day_sizes().items():
                sizes[day] = sizes.get(day, 0) + size
        newest = sorted(sizes, reverse=True)[:6]
        limit = sum(sizes[day] for day in newest)
        done = let_go(layout, replace(layout.model("m"), retention=Retention(size_bytes=limit)))
        assert done.why == "the declared size"
        assert days(layout) == sorted(newest)
        assert all(left < right for left, right in pairwise(days(layout)))


def test_without_a_declared_retention_everything_stays() -> None:
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        record(layout, spool)
        done = let_go(layout, layout.model("m"))
        assert (done.before, done.files, done.why) == ("", 0, "no retention is declared")
        assert len(days(layout)) == DAYS


def profiles(layout: Layout) -> dict[object, float]:
    """Return rows and missing values of each feature over all days, from what is kept."""
    now = layout.clock.now()
    with Summaries.reading(layout.summaries("m")) as summaries:
        kept = KeptEvidence(layout, layout.model("m"), now, now, summaries)
        try:
            state = kept.profile(Window(START, START + (DAYS + 1) * DAY)).only(part="moments")
            rows = zip(state.key("feature"), state.column("rows"), state.column("missing"), strict=True)
            return {(feature, what): n for feature, r, m in rows for what, n in (("rows", r), ("missing", m))}
        finally:
            kept.close()


def test_a_late_row_does_not_put_itself_in_the_place_of_a_day_that_was_let_go() -> None:
    with temporary_store(Model("m", outcome_horizon=2 * DAY), replay_now=START) as (layout, spool):
        record(layout, spool)
        before = totals(layout)
        let_go(layout, replace(layout.model("m"), retention=Retention(age=5 * DAY)))
        late = Recorder(layout, "m", spool=spool)
        late.record({"x": 1.0}, prediction_id="late", key="late", score=0.5, predicted_at=START + DAY)
        late.outcome(1, prediction_id="late")
        late.close()
        assert totals(layout)[0] == before[0]
        tick(layout)
        assert totals(layout)[0] == before[0]


def test_a_new_input_loses_no_history() -> None:
    with temporary_store(Model("m", outcome_horizon=2 * DAY), replay_now=START) as (layout, spool):
        record(layout, spool)
        let_go(layout, replace(layout.model("m"), retention=Retention(age=5 * DAY)))
        before = totals(layout)
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        recorder = Recorder(layout, "m", spool=spool)
        recorder.record({"x": 1.0, "y": "new"}, prediction_id="n", key="n", score=0.5)
        recorder.close()
        clock.set(clock.now() + 2 * HOUR)
        tick(layout)
        assert totals(layout) == before
        found = profiles(layout)
        assert (found["x", "rows"], found["x", "missing"]) == (801.0, 0.0)
        assert (found["y", "rows"], found["y", "missing"]) == (801.0, 800.0)


def test_what_was_let_go_is_never_answered_from_what_is_left() -> None:
    model = Model("m", outcome_horizon=2 * DAY, cohorts=(Cohort("x", by="x"),))
    with temporary_store(model, replay_now=START) as (layout, spool):
        record(layout, spool)
        assert isinstance(layout.clock, ReplayClock)
        layout.clock.save()
        log, whole = open_log(layout.root), "2026-01-01..2026-01-21"

        def told(**asked: str) -> list[object]:
            return [log.status("m", **asked).to_dict()["tables"], log.cost("m", **asked).to_dict()["tables"]]

        before = [told(over=whole), told(over=whole, by="x"), told(over="2026-01-03 06:00..2026-01-18 13:00")]
        let_go(layout, replace(layout.model("m"), retention=Retention(age=5 * DAY)))
        tick(layout)
        after = [told(over=whole), told(over=whole, by="x"), told(over="2026-01-03 06:00..2026-01-18 13:00")]
        assert after == before
        for asked in (
            {"as_of": "2026-01-17", "over": "2026-01-03..2026-01-17"},
            {"as_of": "2026-01-09"},
            {"over": "2026-01-03 05:20..2026-01-18"},
            {"over": "2026-01-03 05:00..2026-01-18", "by": "x"},
        ):
            for ask in (log.status, log.cost):
                with pytest.raises(UsageError, match="were let go"):
                    ask("m", **asked)
        with pytest.raises(UsageError, match="were let go"):
            log.diff("m", as_of="2026-01-09")
        assert log.status("m", as_of="2026-01-20", over="2026-01-17..2026-01-20").because


def test_units_are_not_counted_from_what_is_left() -> None:
    model = Model("m", outcome_horizon=2 * DAY, cost_unit="ticket", rates=Rates(per_prediction_usd=0.1))
    with temporary_store(model, replay_now=START) as (layout, spool):
        record(layout, spool)
        assert isinstance(layout.clock, ReplayClock)
        layout.clock.save()

        def unit_cost(over: str) -> tuple[object, object]:
            rows = open_log(layout.root).cost("m", over=over).table("metrics").rows
            return next((row[1], row[6]) for row in rows if row[0] == "cost_per_ticket_usd")

        whole = "2026-01-01..2026-01-21"
        assert unit_cost(whole) == (pytest.approx(0.1), None)
        let_go(layout, replace(layout.model("m"), retention=Retention(age=5 * DAY)))
        assert unit_cost(whole) == (None, "units cannot be counted: rows of this window were let go")
        assert unit_cost("2026-01-17..2026-01-21") == (pytest.approx(0.1), None)


def older(layout: Layout, *, without: str = "", kind: str = "", version: int = 8) -> None:
    """Make the kept states what an older version wrote: it lacked a column of the quality, or a kind."""
    layout.save_replay_now(layout.clock.now())
    with sqlite3.connect(layout.summaries("m")) as connection:
        connection.execute("DELETE FROM meta WHERE name = 'forms'")
        connection.execute(f"PRAGMA user_version = {version}")
        forms = {name: one for name, one in KINDS.items() if name != kind}
        if without:
            new = KINDS["binary_quality"]
            old = forms[new.name] = replace(new, sums=tuple(name for name in new.sums if name != without))
            for start, grain, content in connection.execute(
                "SELECT start, grain, content FROM states WHERE kind = ?", (new.name,)
            ).fetchall():
                blob = reformed(StateTable.decode(new, content), old).encode()
                where = "kind = ? AND start = ? AND grain = ?"
                connection.execute(f"UPDATE states SET content = ? WHERE {where}", (blob, new.name, start, grain))
        if kind:
            connection.execute("DELETE FROM states WHERE kind = ?", (kind,))
        if without or kind:
            connection.execute("INSERT INTO meta VALUES ('forms', ?)", (msgspec.msgpack.encode(forms),))
    connection.close()


def test_what_an_older_version_kept_of_days_that_are_gone_is_carried_over() -> None:
    with temporary_store(Model("m", outcome_horizon=2 * DAY), replay_now=START) as (layout, spool):
        record(layout, spool)
        before = totals(layout)
        let_go(layout, replace(layout.model("m"), retention=Retention(age=5 * DAY)))
        older(layout)
        for _ in range(3):  # by a reader, by the next tick, and after it
            assert totals(layout) == before
            tick(layout)
        with Summaries.reading(layout.summaries("m")) as summaries:
            assert summaries is not None
            progress = summaries.progress()
        assert progress is not None
        assert (progress.basis, progress.lacking) == (basis(layout.model("m")), [])


@pytest.mark.parametrize(("kind", "without"), [("arrivals", ""), ("", "brier")])
def test_what_an_older_version_did_not_keep_is_refused_for_those_days_and_known_for_the_rest(
    kind: str, without: str
) -> None:
    with temporary_store(Model("m", outcome_horizon=2 * DAY), replay_now=START) as (layout, spool):
        record(layout, spool)
        let_go(layout, replace(layout.model("m"), retention=Retention(age=5 * DAY)))
        older(layout, kind=kind, without=without)
        ask = setpoint.Log.outcomes if kind else setpoint.Log.status
        for _ in range(2):
            with open_log(layout.root) as log:
                with pytest.raises(UsageError, match="the version that kept those days did not count what"):
                    ask(log, "m", over="2026-01-02..2026-01-20")
                assert ask(log, "m", over="2026-01-16..2026-01-20").verdict is not None
                assert log.diff("m", current="2026-01-08..2026-01-14").tables, "what it did keep is there"
            tick(layout)


def test_every_kind_that_is_kept_can_be_carried_over() -> None:
    with temporary_store(Model("m", cohorts=(Cohort("x", by="x"),)), replay_now=START) as (layout, spool):
        record(layout, spool)
        with sqlite3.connect(layout.summaries("m")) as connection:
            found = {row[0] for row in connection.execute("SELECT DISTINCT kind FROM states")}
        connection.close()
        assert found <= set(KINDS)
        assert {"binary_quality", "traffic", "profile", "arrivals"} <= found


@pytest.mark.parametrize("version", [1, 7, 99])
def test_states_of_a_version_that_nobody_knows_are_made_anew(version: int) -> None:
    with temporary_store(Model("m"), replay_now=START) as (layout, spool):
        record(layout, spool)
        before = totals(layout)
        older(layout, version=version)
        for _ in range(2):
            assert totals(layout) == before
            tick(layout)
