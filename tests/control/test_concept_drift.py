"""Estimates are held against the truth: a year without a change is quiet, a changed concept is found once."""

from __future__ import annotations

import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from tests.leaves import same

from setpoint.control.estimate_checks import Audited, audited, mature_mondays, maturity, stored_audits
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import Finding
from setpoint.core.model import Expectation, Model
from setpoint.feedback.audits import NEW_USUAL_WEEKS, Audit, Week, concept_drifts, weekly_audits
from setpoint.predictions.recorder import Recorder
from setpoint.stats.score_map import OutcomeHistogram
from setpoint.stats.special import expit
from setpoint.store.evidence import RowEvidence
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Summaries
from setpoint.testing import temporary_store

START = 1_767_571_200_000_000  # Monday 2026-01-05
WATCHED = ("auc", "base_rate")


def year(
    seed: int,
    *,
    per_day: int = 60,
    shock: float = 0.0,
    together: float = 0.0,
    change_at: int = 99,
    level: float = 0.0,
    slope: float = 1.0,
    count: int = 52,
) -> list[Week]:
    """Return weeks whose scores come true as they say, until a level and a slope of their log odds change.

    Days share a cause of the size `shock`, which is that of the day before as far as `together` says.
    """
    rng = np.random.default_rng(seed)
    cause = 0.0
    found: list[Week] = []
    for n in range(count):
        days: list[OutcomeHistogram] = []
        for _ in range(7):
            log_odds = rng.normal(-1.2, 1.2, per_day)
            true = log_odds if n < change_at else level + slope * (log_odds + 1.2) - 1.2
            draws = rng.random(per_day)
            cause = together * cause + float(np.sqrt(1.0 - together**2)) * rng.normal(0.0, 1.0)
            outcomes = draws < expit(true + cause * shock)
            days.append(OutcomeHistogram.from_rows(expit(log_odds), outcomes.astype(np.float64)))
        start, end = START + n * 7 * DAY, START + (n + 1) * 7 * DAY
        found.append(Week(start, end, end + DAY, "v1", tuple(days), 0.95))
    return found


def week_of(at: int) -> int:
    return (at - START) // (7 * DAY)


def test_years_without_a_change_are_quiet() -> None:
    found = [concept_drifts(year(seed), WATCHED) for seed in range(5)]
    found += [concept_drifts(year(seed, shock=0.4), WATCHED) for seed in range(5)]
    assert sum(bool(one) for one in found) == 0


def test_years_whose_days_go_together_are_quiet_too() -> None:
    found = [concept_drifts(year(seed, shock=0.4, together=0.8), WATCHED) for seed in range(4)]
    assert sum(bool(one) for one in found) == 0


@pytest.mark.parametrize(("level", "slope", "metric"), [(-0.6, 1.0, "base_rate"), (0.0, 0.3, "auc")])
def test_a_change_is_found_within_weeks_and_once(level: float, slope: float, metric: str) -> None:
    found = concept_drifts(year(3, change_at=26, level=level, slope=slope), WATCHED)
    assert [one.audit.metric for one in found] == [metric]
    assert 26 < week_of(found[0].noticed_at) <= 31
    assert week_of(found[0].ended_at or 0) == week_of(found[0].noticed_at) + NEW_USUAL_WEEKS
    assert found[0].audit.gap < 0.0


def test_a_change_that_was_only_in_who_came_is_none() -> None:
    # the scores move, what they mean does not
    quiet = year(4, count=30)
    moved = [
        replace(week, days=tuple(_without_low_scores(day) for day in week.days)) if n >= 15 else week
        for n, week in enumerate(quiet)
    ]
    assert concept_drifts(moved, WATCHED) == []


def _without_low_scores(day: object) -> OutcomeHistogram:
    assert isinstance(day, OutcomeHistogram)
    kept = day.bin_index >= -48
    return OutcomeHistogram(
        day.group[kept],
        day.bin_index[kept],
        day.decision[kept],
        day.positives[kept],
        day.weight[kept],
        day.weight_of_squares[kept],
    )


def test_another_version_is_no_changed_concept() -> None:
    before, after = year(5, count=26), year(6, change_at=0, level=-1.0)[26:]
    assert concept_drifts([*before, *(replace(week, version="v2") for week in after)], WATCHED) == []


def test_weeks_of_which_too_little_came_say_nothing() -> None:
    weeks_seen = year(7, change_at=20, level=-1.0, count=21)
    assert concept_drifts(weeks_seen, WATCHED) != []
    assert concept_drifts([*weeks_seen[:20], replace(weeks_seen[20], arrived=0.5)], WATCHED) == []


def test_an_audit_learns_only_from_what_was_known_when_its_week_ended() -> None:
    found = weekly_audits(year(8, count=12), WATCHED)
    later = [replace(week, known_at=week.end + 30 * DAY) for week in year(8, count=12)]
    assert found[0].start == START + 6 * 7 * DAY  # six whole weeks, the last known a day after it ended
    assert weekly_audits(later, WATCHED)[0].start == START + 10 * 7 * DAY


def test_audits_of_a_quiet_year_hold_as_often_as_they_say() -> None:
    found = weekly_audits(year(9), WATCHED)
    outside = sum(one.is_beyond(0.025) for one in found)
    assert outside <= 0.12 * len(found)


MODEL = Model("m", expectations=(Expectation("auc", at_least=0.6),), outcome_horizon=3 * DAY)
WEEKS, CHANGE_AT, PER_DAY = 11, 8, 40


def played(stops: list[int], *, change_at: int = CHANGE_AT) -> tuple[list[Finding], list[tuple[int, str, float]]]:
    """Record eleven weeks on a replay clock, with ticks, and return the findings and the audits at the end."""
    rng = random.Random(1)
    events: list[tuple[int, int | None, str, float]] = []
    for n in range(WEEKS * 7 * PER_DAY):
        at = START + n * DAY // PER_DAY
        log_odds = rng.gauss(-1.0, 1.2)
        chance = float(1.0 / (1.0 + np.exp(-log_odds)))
        is_true = rng.random() < (chance if at < START + change_at * 7 * DAY else chance / 3)
        events += [(at, None, f"p{n}", chance), (at + round(rng.uniform(1, 12) * HOUR), int(is_true), f"p{n}", 0.0)]
    found: list[Finding] = []
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        waiting = list(stops)
        for at, outcome, name, score in sorted(events, key=lambda event: event[0]):
            while waiting and at > waiting[0]:
                found += _ticked(layout, recorder, waiting.pop(0))
            clock.set(at)
            if outcome is None:
                recorder.record({"x": 1.0}, prediction_id=name, score=score)
            else:
                recorder.outcome(outcome, prediction_id=name)
        for stop in waiting:
            found += _ticked(layout, recorder, stop)
        recorder.close()
        made = [(one.start, one.metric, one.measured) for one in _audited(layout)]
    return [one for one in found if one.kind == "concept_drift"], made


def _ticked(layout: Layout, recorder: Recorder, at: int) -> list[Finding]:
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(at)
    recorder.close()
    return tick(layout).findings


def _audited(layout: Layout) -> list[Audit]:
    """Return the audits that were stored, after holding them against those that rows give."""
    now = layout.clock.now()
    with Summaries.reading(layout.summaries("m")) as summaries, Snapshot(layout, "m") as snapshot:
        assert summaries is not None
        kept = KeptEvidence(layout, MODEL, now, now, summaries)
        stored = stored_audits(kept)
        kept.close()
        fresh = RowEvidence(snapshot.connection, MODEL, snapshot.columns, now)
        age = maturity(fresh, now)
        assert age is not None
        assert 10 * HOUR < age < 16 * HOUR
        assert len(mature_mondays(fresh, now, age)) == WEEKS + 1
        assert same(audited(fresh, now), stored)
    assert stored is not None
    return stored.audits


END = START + (WEEKS * 7 + 1) * DAY


def test_a_changed_concept_is_one_finding_however_often_tick_runs() -> None:
    once, made = played([END])
    often, same = played([START + (week * 7 + 1) * DAY for week in (CHANGE_AT, CHANGE_AT + 2, WEEKS)])
    assert [one.finding_id for one in once] == [one.finding_id for one in often]
    assert made == same
    assert len(once) == 1
    assert once[0].subject == "base_rate"
    assert CHANGE_AT < week_of(once[0].started_at) <= CHANGE_AT + 2
    assert "scores no longer mean what they meant: base_rate" in once[0].said
    assert "noise of days included" in once[0].said


def test_a_store_without_a_change_has_no_finding_and_an_audit_each_week() -> None:
    found, made = played([END], change_at=99)
    assert found == []
    assert [start for start, metric, _ in made if metric == "auc"] == [
        START + week * 7 * DAY for week in range(6, WEEKS)
    ]


def test_audits_are_made_again_only_when_their_rows_changed() -> None:
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        rng = random.Random(4)
        clock = layout.clock
        assert isinstance(clock, ReplayClock)
        for n in range(WEEKS * 7 * PER_DAY):
            clock.set(START + n * DAY // PER_DAY)
            score = rng.random()
            recorder.record({"x": 1.0}, prediction_id=f"p{n}", score=score)
            recorder.outcome(int(rng.random() < score), prediction_id=f"p{n}")
        _ticked(layout, recorder, END)
        with Summaries.amending(layout.summaries("m")) as opened:
            assert opened is not None
            summaries, _ = opened
            made = msgspec.msgpack.decode(summaries.notes()["audits"], type=Audited)
            marked = msgspec.structs.replace(made, audits=made.audits[:1])
            summaries.save_notes({"audits": msgspec.msgpack.encode(marked)})
        _ticked(layout, recorder, END + HOUR)
        assert _stored(layout) == marked  # nothing changed, so nothing was made again
        clock.set(END + 2 * HOUR)
        recorder.record({"x": 1.0}, prediction_id="late", score=0.5, predicted_at=START + DAY)
        _ticked(layout, recorder, END + 3 * HOUR)
        assert len(_stored(layout).audits) == len(made.audits)
        recorder.close()


def _stored(layout: Layout) -> Audited:
    with Summaries.reading(layout.summaries("m")) as summaries:
        assert summaries is not None
        return msgspec.msgpack.decode(summaries.notes()["audits"], type=Audited)
