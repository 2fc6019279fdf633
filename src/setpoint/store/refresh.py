"""Brings a model's kept states up to date: closes hours, recomputes dirty ones, merges local days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from setpoint.core.clock import DAY, MICROS
from setpoint.core.model import Model, Task
from setpoint.core.window import Window, local_midnight, local_monday, shift_days
from setpoint.store.arrivals import ARRIVALS
from setpoint.store.dirty import changed_buckets, dirty_buckets
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import RowEvidence, bucket_seconds
from setpoint.store.exposure import EXPOSURE
from setpoint.store.layout import Layout
from setpoint.store.measures import COHORT_VALUES, PROFILE, SPENDING, TRAFFIC, Definition
from setpoint.store.money import MONEY
from setpoint.store.primitives import local_day
from setpoint.store.quality_kinds import quality_kind
from setpoint.store.snapshot import MANY_QUERIES, Snapshot
from setpoint.store.states import StateTable, merge
from setpoint.store.summaries import Grain, Kept, Progress, Summaries, basis, stored_features
from setpoint.store.texts import texts_of

_CHUNK_ROWS = 4_000_000
_RUN_DAYS = 31


def refresh(layout: Layout, model: Model, now: int, *, notes: Mapping[str, bytes] | None = None) -> int:
    """Recompute every bucket that is new or dirty, in one transaction; return how many were.

    The caller holds the lease: two refreshes at once would do the same work twice.

    Args:
        layout: The store.
        model: The declaration.
        now: The present; buckets that end later are not closed yet.
        notes: What checks found and need not find again, to be kept beside the states.
    """
    step = bucket_seconds(model.timezone) * MICROS
    with (
        Snapshot(layout, model.name, held_bytes=MANY_QUERIES) as snapshot,
        Summaries.writing(layout.summaries(model.name)) as summaries,
    ):
        last = summaries.progress()
        evidence = RowEvidence(snapshot.connection, model, snapshot.columns, now)
        before = last if last is not None and last.holds_for(model) else None
        if before is None:
            summaries.clear()
        else:
            evidence.definition = _widened(summaries, before, evidence)
        let_go_before = last.let_go_before if last else 0
        closed_until = now // step * step
        stale, changed = _stale(evidence, before, Window(let_go_before, closed_until), step)
        for chunk in _chunks(evidence, stale, step):
            _replace(summaries, evidence, chunk, step)
        told_apart = _told_apart(evidence, before, changed, step)
        reach = Window(let_go_before, closed_until)
        for run in _whole_days(stale, model.timezone, reach):
            _replace_feedback_by_cohort(summaries, evidence, run)
        for run in _whole_days(changed, model.timezone, reach):
            _replace_profiles_by_cohort(summaries, evidence, run, told_apart)
        _merge_days(summaries, evidence, stale, step)
        span = evidence.span
        starts = [last.first_at if last else None, span.start if span else None]
        summaries.save_notes(notes or {})
        summaries.save_progress(
            Progress(
                basis=basis(model),
                ships=snapshot.ships,
                versions=snapshot.versions,
                ticked_at=now,
                closed_until=closed_until,
                first_at=min((start for start in starts if start is not None), default=None),
                last_at=span.end - 1 if span else None,
                last_counted_at=_last_counted_at(evidence),
                last_outcome_at=evidence.last_outcome_at(),
                features=stored_features(evidence.definition),
                outcome_shift=evidence.definition.outcome_shift,
                changes=evidence.changes(None),
                let_go_before=let_go_before,
                rates=model.rates,
                lacking=before.lacking if before else [],
                lacking_before=before.lacking_before if before else 0,
                told_apart=told_apart,
            )
        )
    return len(stale)


def _widened(summaries: Summaries, before: Progress, evidence: RowEvidence) -> Definition:
    """Return the definition with features that came since: every row before lacked them."""
    known = before.definition
    there = {*known.features, *texts_of(known)}
    new = {name: column for name, column in evidence.profiled.items() if name not in there}
    if not new:
        return known
    found = evidence.define(new).features
    summaries.add_features(list(found))
    return replace(known, features={**known.features, **found})


def _stale(evidence: RowEvidence, before: Progress | None, reach: Window, step: int) -> tuple[list[int], list[int]]:
    """Return the closed buckets without a valid state, and those whose predictions may differ, oldest first.

    Args:
        evidence: The rows.
        before: How far the states reach; None without any.
        reach: From where rows are still there, until where buckets are closed.
        step: Length of a bucket, microseconds.
    """
    span = evidence.span
    ships = before.ships if before else {}
    changed = changed_buckets(evidence.connection, evidence.model, ships, step // MICROS)
    if before is None:
        changed |= set() if span is None else set(range(span.start // step * step, span.end, step))
    else:
        changed |= set(before.marked)
        if span is not None:
            changed |= set(range(before.closed_until, min(reach.end, span.end), step))
    found = changed | dirty_buckets(evidence.connection, evidence.matching(None), ships, step // MICROS)
    if before:
        found |= _ripe(evidence, before, step) | before.repriced(evidence.model.rates, step)
        # Hours that were open at the last refresh, and have calls or tallies alone.
        found |= set(range(before.closed_until, min(reach.end, (_last_counted_at(evidence) or 0) + 1), step))
    stale = sorted(start for start in found if reach.start <= start <= reach.end - step)
    return stale, sorted(changed & set(stale))


def _last_counted_at(evidence: RowEvidence) -> int | None:
    last = "greatest((SELECT max(called_at) FROM calls), (SELECT max(bucket_at) FROM tallies))"  # ignores nulls
    return cast("int | None", rows(evidence.connection, f"SELECT epoch_us({last})")[0][0])


def _ripe(evidence: RowEvidence, before: Progress, step: int) -> set[int]:
    """Return buckets in which silence has become an outcome since the last refresh."""
    silence = evidence.model.outcome_if_silent
    if silence is None:
        return set()
    first = (before.ticked_at - silence.after) // step * step
    return set(range(first, evidence.as_of - silence.after + 1, step))


def _chunks(evidence: RowEvidence, stale: Sequence[int], step: int) -> list[list[int]]:
    """Split buckets into stretches that one query handles: by day when there are many rows."""
    if not stale:
        return []
    count = cast("int", evidence.connection.execute("SELECT count(*) FROM predictions").fetchall()[0][0])
    if count <= _CHUNK_ROWS and stale[-1] - stale[0] <= len(stale) * step * 4:
        return [list(stale)]
    chunks: list[list[int]] = []
    for start in stale:
        if chunks and start - chunks[-1][0] < DAY and start - chunks[-1][-1] <= 4 * step:
            chunks[-1].append(start)
        else:
            chunks.append([start])
    return chunks


def _replace(summaries: Summaries, evidence: RowEvidence, starts: Sequence[int], step: int) -> None:
    window = Window(starts[0], starts[-1] + step)
    seconds = step // MICROS
    quality = Kept(quality_kind(evidence.model))
    _put(summaries, quality, "bucket", evidence.quality(window, bucket_seconds=seconds), starts)
    _put(summaries, Kept(ARRIVALS), "bucket", evidence.arrivals(window, bucket_seconds=seconds), starts)
    _put(summaries, Kept(MONEY), "bucket", evidence.money(window, bucket_seconds=seconds), starts)
    _put(summaries, Kept(TRAFFIC), "bucket", evidence.traffic(window, bucket_seconds=seconds), starts)
    _put(summaries, Kept(SPENDING), "bucket", evidence.spending(window, bucket_seconds=seconds), starts)
    _put(summaries, Kept(PROFILE), "bucket", evidence.profile(window, bucket_seconds=seconds), starts)
    if evidence.model.task is Task.RANKING:
        _put(summaries, Kept(EXPOSURE), "bucket", evidence.exposure(window, bucket_seconds=seconds), starts)


def _put(summaries: Summaries, kept: Kept, grain: Grain, table: StateTable, starts: Sequence[int]) -> None:
    parts = split_by_bucket(table)
    summaries.replace(kept, grain, {start: parts.get(start) for start in starts})


def _told_apart(
    evidence: RowEvidence, before: Progress | None, changed: Sequence[int], step: int
) -> dict[str, tuple[str, ...]]:
    """Return the values of each cohort that profiles tell apart: those before, and new ones while there is room."""
    if before is None:
        return {name: evidence.told_apart(name) for name in evidence.cohorts}
    if not changed:
        return before.told_apart
    window = Window(changed[0], changed[-1] + step)
    found: dict[str, tuple[str, ...]] = {}
    for name in evidence.cohorts:
        known = before.told_apart.get(name, ())
        new = evidence.told_apart(name, window) if len(known) < COHORT_VALUES else ()
        found[name] = tuple(dict.fromkeys([*known, *new]))[:COHORT_VALUES]
    return found


def _replace_feedback_by_cohort(summaries: Summaries, evidence: RowEvidence, run: Sequence[int]) -> None:
    cohorts = [cohort.name for cohort in evidence.model.cohorts]
    if cohorts:
        window, time = _by_day(run, evidence.model.timezone)
        for cohort, table in evidence.qualities(window, cohorts, time=time).items():
            _put(summaries, Kept(quality_kind(evidence.model), cohort), "day", table, run)
        for cohort, table in evidence.arrivals_by_cohort(window, cohorts, time=time).items():
            _put(summaries, Kept(ARRIVALS, cohort), "day", table, run)
        for cohort, table in evidence.money_by_cohort(window, cohorts, time=time).items():
            _put(summaries, Kept(MONEY, cohort), "day", table, run)


def _replace_profiles_by_cohort(
    summaries: Summaries, evidence: RowEvidence, run: Sequence[int], told_apart: Mapping[str, tuple[str, ...]]
) -> None:
    window, time = _by_day(run, evidence.model.timezone)
    tables = evidence.profiles_by_cohort(window, list(evidence.cohorts), time=time, told_apart=told_apart)
    for cohort, table in tables.items():
        _put(summaries, Kept(PROFILE, cohort), "day", table, run)


def _by_day(run: Sequence[int], zone: str) -> tuple[Window, str]:
    """Return the window of a run of local days, and SQL of the start of a row's day."""
    end = shift_days(run[-1], 1, zone)
    return Window(run[0], end), local_day("predicted_at", [*run, end])


def _whole_days(starts: Sequence[int], zone: str, reach: Window) -> list[list[int]]:
    """Return the local days of some buckets that are over, in stretches without a gap that one query handles."""
    midnights = sorted({local_midnight(start, zone) for start in starts})
    runs: list[list[int]] = []
    for midnight in midnights:
        if not (reach.start <= midnight and shift_days(midnight, 1, zone) <= reach.end):
            continue
        if runs and len(runs[-1]) < _RUN_DAYS and shift_days(runs[-1][-1], 1, zone) == midnight:
            runs[-1].append(midnight)
        else:
            runs.append([midnight])
    return runs


def split_by_bucket(table: StateTable) -> dict[int, StateTable]:
    """Return one table a bucket; in each the bucket key reads 0, since it stands beside the table."""
    if not len(table):
        return {}
    place = table.kind.keys.index("bucket")
    order = np.argsort(table.codes[:, place], kind="stable")
    found, starts = np.unique(table.codes[order, place], return_index=True)
    parts = np.split(order, starts[1:])
    flat = table.at("bucket", 0)
    return {
        int(cast("int", table.levels[place][code])): flat.take(chosen)
        for code, chosen in zip(found.tolist(), parts, strict=True)
    }


def _merge_days(summaries: Summaries, evidence: RowEvidence, stale: Sequence[int], step: int) -> None:
    """Merge the buckets of each touched local day into one state, and the days of each touched week."""
    zone = evidence.model.timezone
    midnights = sorted({local_midnight(start, zone) for start in stale})
    mondays = sorted({local_monday(midnight, zone) for midnight in midnights})
    quality = quality_kind(evidence.model)
    by_bucket = [Kept(kind) for kind in (quality, ARRIVALS, MONEY, TRAFFIC, SPENDING, PROFILE)]
    by_bucket += [Kept(EXPOSURE)] if evidence.model.task is Task.RANKING else []
    by_day = [Kept(kind, cohort.name) for cohort in evidence.model.cohorts for kind in (quality, ARRIVALS, MONEY)]
    by_day += [Kept(PROFILE, name) for name in evidence.cohorts]
    for kept in by_bucket:
        days: dict[int, StateTable | None] = {}
        for midnight in midnights:
            starts = range(midnight, shift_days(midnight, 1, zone), step)
            days[midnight] = merge(kept.kind, summaries.tables(kept, "bucket", starts))
        summaries.replace(kept, "day", days)
    for kept in (*by_bucket, *by_day):
        weeks: dict[int, StateTable | None] = {}
        for monday in mondays:
            starts = [shift_days(monday, days, zone) for days in range(7)]
            weeks[monday] = merge(kept.kind, summaries.tables(kept, "day", starts))
        summaries.replace(kept, "week", weeks)
