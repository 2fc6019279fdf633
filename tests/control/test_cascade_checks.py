"""A cascade's promise is watched by each pair once, in the order in which it was known, whatever is carried on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.answers.test_worth import START, child, row
from tests.control.test_tightening import DECLARED, in_force, losses, record, routed, set_clock

from setpoint.control.cascade_checks import CASCADE_LOSS, Carried, Lost, find_loss
from setpoint.control.loop import tick
from setpoint.control.route_plans import publish
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Model
from setpoint.core.route_plan import Cascade
from setpoint.predictions.recorder import Recorder
from setpoint.stats.cascade import won_by
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool

CASCADE = replace(DECLARED, audit=1.0)
Row = Mapping[str, Any]


def asked(loss: int, count: int, days: float, first: int = 0) -> list[dict[str, Any]]:
    """Return requests of one moment that the cheap version answered, each of which lost so much."""
    cheap, expensive = loss <= 0, loss >= 0
    return [
        {"n": first + n, "at": int(START + days * DAY) + n, "truth": True, "sure": 0.9, "v1": cheap, "v2": expensive}
        for n in range(count)
    ]


def keep(layout: Layout, found: Iterable[Row]) -> None:
    """Record requests, each of which was audited, without their outcomes."""
    record(layout, [made for one in found for made in (row(one, "v1"), child(one, "v2", "shadow"))], ())


def learn(layout: Layout, found: Iterable[Row], *, truth: bool = True, revision: int = 0) -> None:
    """Record outcomes, which are known from now on."""
    recorder, now = Recorder(layout, "m", spool=Spool(layout)), layout.clock.now()
    for one in found:
        recorder.outcome(truth, prediction_id=f"r{one['n']:06d}", observed_at=now, revision=revision)
    recorder.close()


def watched(folder: Path, cascade: Cascade = CASCADE) -> Layout:
    layout = Layout.create(folder, replay_now=START)
    layout.declare(Model("m", route=routed(cascade), outcome_horizon=7 * DAY))
    publish(layout, "m", routed(cascade))
    return layout


def look(layout: Layout, notes: dict[str, bytes], days: float) -> Lost | None:
    """Return what is found some days after the start by what was known then, and go on from these notes."""
    now = int(START + days * DAY)
    with closing(KeptEvidence(layout, layout.model("m"), now, layout.clock.now(), None)) as evidence:
        evidence.notes = notes
        return find_loss(evidence)


def carried(notes: Mapping[str, bytes]) -> Carried:
    return msgspec.msgpack.decode(notes[CASCADE_LOSS], type=Carried)


def test_moments_that_were_looked_at_are_not_bet_on_again_in_another_order(tmp_path: Path) -> None:
    """A hundred answers lost, known after three hundred won: it never showed a loss, nor does it once these are old."""
    layout = watched(tmp_path / "s")
    lost, won = asked(1, 100, 1.0), asked(-1, 300, 2.0, first=100)
    set_clock(layout, START + 2.5 * DAY)
    keep(layout, [*lost, *won])
    learn(layout, won)
    set_clock(layout, START + 6 * DAY)
    learn(layout, lost)
    set_clock(layout, START + 40 * DAY)
    notes: dict[str, bytes] = {}
    assert [look(layout, notes, days) for days in (3, 7, 29.5)] == [None] * 3
    assert (carried(notes).pairs, max(carried(notes).won) > 30) == (100, True)
    assert [look(layout, notes, days) for days in (29.6, 30.4)] == [None] * 2


@pytest.mark.parametrize("days", [range(1, 71, 3), (1, 31, 32, 70)])
def test_each_pair_counts_once_late_corrected_or_looked_at_a_month_later(tmp_path: Path, days: Iterable[int]) -> None:
    """An outcome that comes, or is corrected, once its request is carried on is none: it was too late."""
    layout = watched(tmp_path / "s", replace(CASCADE, loss=0.5))
    weekly = [asked(int(week in {0, 5}), 20, 7.0 * week + 0.5, first=20 * week) for week in range(6)]
    for week, found in enumerate(weekly):
        set_clock(layout, found[0]["at"] + HOUR)
        keep(layout, found)
        learn(layout, found[:10])
        if week:
            learn(layout, weekly[week - 1][10:15])  # a week late
    set_clock(layout, START + 36 * DAY)
    learn(layout, weekly[5][:2], truth=False, revision=1)
    set_clock(layout, START + 68 * DAY)
    learn(layout, weekly[0][15:])
    learn(layout, weekly[0][:2], truth=False, revision=1)
    set_clock(layout, START + 71 * DAY)
    notes: dict[str, bytes] = {}
    assert {look(layout, notes, day) for day in days} == {None}
    counted = [1.0] * 15 + [0.0] * 60 + [-1.0] * 2 + [1.0] * 8
    assert carried(notes).pairs == len(counted)
    assert carried(notes).won == pytest.approx(won_by(np.array(counted), 0.5))


def test_a_larger_audit_starts_anew_and_a_smaller_one_goes_on(tmp_path: Path) -> None:
    """Ten times as many of the later requests would count: their mean is not that of all."""
    layout = watched(tmp_path / "s", replace(CASCADE, audit=0.5))
    seen: list[int] = []
    for n, audit in enumerate((0.5, 0.1, 1.0)):
        set_clock(layout, START + n * DAY)
        publish(layout, "m", routed(replace(CASCADE, audit=audit)))
        found = asked(1, 100, n + 0.1, first=1000 * n)
        set_clock(layout, START + n * DAY + 12 * HOUR)
        keep(layout, found)
        learn(layout, found)
        lost = look(layout, {}, n + 0.5)
        assert lost is not None
        seen.append(lost.at)
    assert seen[0] == seen[1] == START + 12 * HOUR
    assert seen[2] == START + 2 * DAY + 12 * HOUR


def test_answers_that_differ_are_no_loss_while_outcomes_may_still_come(tmp_path: Path) -> None:
    layout = watched(tmp_path / "s")
    found = [*asked(-1, 200, 0.5), *asked(1, 100, 0.6, first=200)]
    set_clock(layout, START + DAY)
    keep(layout, found)
    assert tick(layout).tightened == []
    assert look(layout, {}, 1.0) is None
    set_clock(layout, START + 7 * DAY)
    learn(layout, found)
    set_clock(layout, START + 9 * DAY)
    assert tick(layout).tightened == []


def test_answers_that_differ_are_a_loss_once_no_outcome_came(tmp_path: Path) -> None:
    layout = watched(tmp_path / "s")
    set_clock(layout, START + DAY)
    keep(layout, asked(1, 100, 0.5))
    set_clock(layout, START + 9 * DAY)
    assert len(tick(layout).tightened) == 1
    assert in_force(layout).threshold is None
    assert "answers that differ" in losses(layout)[0][1] or "loses more" in losses(layout)[0][1]


def test_the_first_outcomes_read_all_requests_anew(tmp_path: Path) -> None:
    """What is carried on of answers that differ says nothing of wrong ones, and those are counted from the start."""
    layout = watched(tmp_path / "s", replace(CASCADE, loss=0.5))
    early, late = asked(0, 100, 0.5), asked(0, 10, 35.0, first=100)
    set_clock(layout, START + DAY)
    keep(layout, early)
    set_clock(layout, START + 36 * DAY)
    keep(layout, late)
    notes: dict[str, bytes] = {}
    assert look(layout, notes, 36.0) is None
    assert (carried(notes).pairs, carried(notes).is_agreement) == (100, True)
    learn(layout, [*early[:50], *late])
    set_clock(layout, START + 40 * DAY)
    assert look(layout, notes, 38.0) is None
    assert (carried(notes).pairs, carried(notes).is_agreement) == (50, False)
