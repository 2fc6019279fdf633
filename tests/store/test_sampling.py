"""With sampling on, what is kept knows the same outcomes as if every row were kept, and no outcome is lost."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.ids import keeps
from setpoint.core.model import Model
from setpoint.core.window import Window
from setpoint.feedback.quality import Arrival, arrival
from setpoint.predictions.recorder import Recorder
from setpoint.store import primitives
from setpoint.store.engines.duck import rows
from setpoint.store.erasure import forget
from setpoint.store.evidence import RowEvidence
from setpoint.store.findings import read_findings
from setpoint.store.layout import Layout
from setpoint.store.matching import latest_outcomes
from setpoint.store.snapshot import Snapshot
from setpoint.testing import Traffic, simulate, temporary_store

START = 1_767_225_600_000_000
TRAFFIC = Traffic(start=START, days=2.0, per_day=600, by_key=0.6, keys=40, children=0.0, seed=3)


def outcomes_by_root(layout: Layout) -> dict[str, object]:
    with Snapshot(layout, "m") as snapshot:
        evidence = RowEvidence(snapshot.connection, layout.model("m"), snapshot.columns, layout.clock.now())
        found = rows(snapshot.connection, f"SELECT root_id, outcome FROM ({latest_outcomes(evidence.matching(None))})")
        kept = {row[0] for row in rows(snapshot.connection, "SELECT prediction_id FROM predictions")}
        return {str(root): outcome for root, outcome in found if root in kept}


def test_an_outcome_by_key_goes_to_no_earlier_row_because_its_own_was_not_kept() -> None:
    found: list[dict[str, object]] = []
    for keep in (1.0, 0.3):
        with temporary_store(Model("m", keep=keep), replay_now=START) as (layout, spool):
            simulate(layout, spool, "m", TRAFFIC)
            spool.close()
            tick(layout)
            found.append(outcomes_by_root(layout))
    full, sampled = found
    assert 200 < len(sampled) < 500
    assert sampled == {root: full[root] for root in sampled}


def test_the_share_of_outcomes_is_that_of_all_predictions() -> None:
    found: list[Arrival] = []
    for keep in (1.0, 0.3):
        with temporary_store(Model("m", keep=keep), replay_now=START) as (layout, spool):
            simulate(layout, spool, "m", Traffic(start=START, per_day=3000, by_key=0.6, keys=500, never=0.4))
            spool.close()
            tick(layout)
            with Snapshot(layout, "m") as snapshot:
                evidence = RowEvidence(snapshot.connection, layout.model("m"), snapshot.columns, layout.clock.now())
                found.append(arrival(evidence.quality(None).only(is_root=True)))
    full, sampled = found
    assert full.predictions == 6000
    assert sampled.predictions == pytest.approx(6000, rel=0.06)
    assert sampled.share == pytest.approx(full.share, abs=0.04)  # two standard deviations of 1,800 rows are 0.024


def test_only_an_outcome_of_nothing_at_all_is_astray() -> None:
    with temporary_store(Model("m", keep=0.2), replay_now=START) as (layout, spool):
        simulate(layout, spool, "m", TRAFFIC)
        clock = layout.clock
        recorder = Recorder(layout, "m", spool=spool)
        for n in range(50):
            recorder.outcome(1, prediction_id=f"nobody-{n}")
        recorder.outcome(1, key="nobody")
        spool.close()
        clock.set(clock.now() + 2 * HOUR)  # pyright: ignore[reportAttributeAccessIssue] — a replay clock
        tick(layout)
        strays = [f for f in read_findings(layout, "m") if f.kind == "stray_outcome"]
        assert {f.subject for f in strays} == {"prediction_id", "key"}
        clock.set(clock.now() + 3 * DAY)  # pyright: ignore[reportAttributeAccessIssue] — a replay clock
        tick(layout)
        closed = [f for f in read_findings(layout, "m") if f.kind == "stray_outcome" and f.state == "closed"]
        counted = {f.subject: f.evidence for f in closed}
        assert '"rows_total": 1' in counted["key"]
        would_be_kept = sum(keeps(f"nobody-{n}", 0.2) for n in range(50))
        assert f'"rows_total": {would_be_kept}' in counted["prediction_id"]


def test_a_row_that_was_not_kept_is_forgotten_too() -> None:
    with temporary_store(Model("m", keep=0.1), replay_now=START) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        for n in range(40):
            recorder.record({"amount": n}, score=0.5, key=f"order-of-someone-{n}", unit=f"someone-{n % 2}-long-enough")
            recorder.outcome(1, key=f"order-of-someone-{n}")
        spool.close()
        forget(layout, layout.model("m"), unit="someone-1-long-enough")
        with Snapshot(layout, "m") as snapshot:
            counts = rows(snapshot.connection, "SELECT (SELECT count(*) FROM unkept), (SELECT count(*) FROM outcomes)")
            kept = sum(row[0] != "" for row in rows(snapshot.connection, "SELECT prediction_id FROM predictions"))
        assert counts == [(20 - kept, 20)]


@given(st.text(min_size=1), st.floats(0, 1))
def test_sql_and_python_keep_the_same_rows(name: str, probability: float) -> None:
    text = name.encode(errors="replace").decode().replace("\0", "")
    sql = primitives.keeps("v", repr(probability))
    found = duckdb.execute(f"SELECT {sql} FROM (SELECT ? AS v)", [text]).fetchall()
    assert found == [(keeps(text, probability),)] or probability == 1.0


def test_tallies_and_weights_agree() -> None:
    with temporary_store(Model("m", keep=0.25), replay_now=START) as (layout, spool):
        simulate(layout, spool, "m", Traffic(start=START, days=1.0, per_day=4000, children=0.0))
        spool.close()
        tick(layout)
        with Snapshot(layout, "m") as snapshot:
            evidence = RowEvidence(snapshot.connection, layout.model("m"), snapshot.columns, layout.clock.now())
            window = Window(START, START + DAY)
            requests = evidence.traffic(window).only(measure="requests").total("amount")
            assert requests == 4000
            assert evidence.quality(window).only(is_root=True).total("weight") == pytest.approx(4000, rel=0.06)
