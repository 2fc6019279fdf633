"""New and returning units: right across days, late rows, erasure, rows that were let go, and as of then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Cohort, Model, Retention
from setpoint.core.window import Window
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.project.unseen import unseen_units
from setpoint.store.erasure import forget, traces
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.retention import collect
from setpoint.store.spool import Spool
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000  # 2026-01-01
MODEL = Model(
    "m",
    cohorts=(Cohort("visit", by="unit", new_for=0), Cohort("tenure", by="unit", new_for=2 * DAY)),
    outcome_horizon=DAY,
)
Seen = list[tuple[str | None, int]]
# Who came when: three on each of eight days, one of them on all, one every other day, one that nobody knows.
SEEN: Seen = [
    (who, day * DAY + hour * HOUR)
    for day in range(8)
    for who, hour in (("anna@home", 3), (f"b{day // 2}", 10 + day), (None, 20))
]


@pytest.fixture
def layout() -> Iterator[Layout]:
    with temporary_store(MODEL, replay_now=START) as (layout, _):
        yield layout


def record(layout: Layout, seen: Seen, now: int) -> None:
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(now)
    layout.save_replay_now(now)
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for who, at in seen:
        recorder.record({"x": 1.0}, unit=who, score=0.5, key=f"{who} {at}", predicted_at=START + at)
    recorder.close()


def expected(seen: Seen, new_for: int, sights: dict[str | None, int] | None = None) -> dict[str, int]:
    first = {who: min(at for other, at in seen if other == who) for who, _ in seen} | (sights or {})
    names = ("(none)" if who is None else "new" if at <= first[who] + new_for else "returning" for who, at in seen)
    return dict(Counter(names))


def groups(layout: Layout, cohort: str, as_of: int | None = None) -> dict[object, object]:
    with open_log(layout.root) as log:
        rows = log.status("m", over=Window(START, START + 9 * DAY), by=cohort, as_of=as_of).table(f"by_{cohort}").rows
        return {row[0]: row[1] for row in rows}


def check(layout: Layout, seen: Seen) -> None:
    for cohort in MODEL.cohorts:
        assert groups(layout, cohort.name) == expected(seen, cohort.new_for or 0), cohort.name


def test_states_and_rows_tell_the_same_while_days_pass_and_older_rows_come_late(layout: Layout) -> None:
    record(layout, SEEN[:12], START + 4 * DAY)
    check(layout, SEEN[:12])
    tick(layout)
    check(layout, SEEN[:12])
    record(layout, SEEN[12:], START + 9 * DAY)
    check(layout, SEEN)
    tick(layout)
    check(layout, SEEN)
    late: Seen = [("b2", 2 * HOUR), ("anna@home", 3 * HOUR), ("carl", 5 * HOUR)]
    record(layout, late, START + 9 * DAY)
    check(layout, SEEN + late)
    tick(layout)
    check(layout, SEEN + late)


def test_shadow_rows_are_of_the_cohort_of_their_root(layout: Layout) -> None:
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for n in range(2):
        at = START + n * HOUR
        root = recorder.record({"x": 1.0}, unit="u", score=0.5, version="a", predicted_at=at)
        details = {"role": "shadow", "parent_id": root, "root_id": root}
        recorder.record({"x": 1.0}, unit="u", score=0.5, version="b", predicted_at=at + 1000, **details)  # pyright: ignore[reportArgumentType]
    recorder.close()
    with open_log(layout.root) as log, log.evidence("m", START + DAY) as evidence:
        state = evidence.quality(None, cohort="visit")
        found = zip(state.key("version"), state.key("cohort_value"), state.column("rows"), strict=True)
    assert sorted(found) == [("a", "new", 1), ("a", "returning", 1), ("b", "new", 1), ("b", "returning", 1)]


def test_as_of_a_time_only_what_was_recorded_by_then_was_seen(layout: Layout) -> None:
    record(layout, SEEN, START + 9 * DAY)
    record(layout, [("b2", 2 * HOUR)], START + 10 * DAY)
    tick(layout)
    assert groups(layout, "visit", as_of=START + 9 * DAY) == expected(SEEN, 0)


@pytest.mark.parametrize("ticked", [True, False])
def test_who_came_in_rows_that_were_let_go_is_not_new(layout: Layout, ticked: bool) -> None:  # noqa: FBT001 — a parameter of the test
    record(layout, SEEN, START + 9 * DAY)
    tick(layout)
    before = groups(layout, "visit")
    layout.declare(replace(MODEL, retention=Retention(age=4 * DAY)))
    assert collect(layout, layout.model("m"), START + 9 * DAY).before == "2026-01-06"
    assert groups(layout, "visit") == before
    record(layout, [("b0", 8 * DAY + HOUR), ("dora", 8 * DAY + HOUR)], START + 9 * DAY)
    if ticked:
        tick(layout)
    assert groups(layout, "visit") == {**before, "new": before["new"] + 1, "returning": before["returning"] + 1}  # type: ignore[operator]
    layout.summaries("m").unlink()  # derived: the sights are not in it
    tick(layout)
    rows = [(who, at) for who, at in SEEN if at >= 5 * DAY] + [("b0", 8 * DAY + HOUR), ("dora", 8 * DAY + HOUR)]
    sights: dict[str | None, int] = {"anna@home": 3 * HOUR, "b0": 10 * HOUR, "b2": 4 * DAY + 14 * HOUR}
    assert groups(layout, "visit") == expected(rows, 0, sights)


def test_who_is_forgotten_was_never_seen(layout: Layout) -> None:
    record(layout, SEEN, START + 9 * DAY)
    tick(layout)
    layout.declare(replace(MODEL, retention=Retention(age=4 * DAY)))
    collect(layout, layout.model("m"), START + 9 * DAY)
    assert any("let_go_units" in path.name for path in traces(layout.root, "anna@home", "m"))
    forget(layout, layout.model("m"), unit="anna@home")
    assert not list(traces(layout.root, "anna@home", "m"))


def test_when_a_first_row_is_forgotten_the_next_is_the_first(layout: Layout) -> None:
    record(layout, SEEN, START + 9 * DAY)
    tick(layout)
    forget(layout, layout.model("m"), key=f"b1 {SEEN[7][1]}")
    check(layout, [*SEEN[:7], *SEEN[8:]])


def test_what_cannot_be_seen_is_said_with_the_plan(layout: Layout) -> None:
    layout.declare(Model("m", retention=Retention(age=4 * DAY), outcome_horizon=DAY))
    record(layout, SEEN, START + 9 * DAY)
    tick(layout)
    collect(layout, layout.model("m"), START + 9 * DAY)
    assert unseen_units(layout, replace(MODEL, keep=0.5)) == (
        "cohort visit, tenure: units are known by rows that were kept, or have a key: keep is below 1",
        "cohort visit, tenure: the rows before 2026-01-06 00:00 were let go: their units are new when they come again",
    )
    assert unseen_units(layout, Model("m", keep=0.5)) == ()
