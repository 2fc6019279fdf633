"""Brings a model's kept states up to date: closes hours, recomputes dirty ones, merges local days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from setpoint.core.clock import DAY, MICROS
from setpoint.core.model import Model
from setpoint.core.window import Window, local_midnight, shift_days
from setpoint.store.dirty import dirty_buckets
from setpoint.store.evidence import RowEvidence, bucket_seconds
from setpoint.store.layout import Layout
from setpoint.store.measures import PROFILE, SPENDING, TRAFFIC, quality_kind
from setpoint.store.snapshot import Snapshot
from setpoint.store.states import StateKind, StateTable, merge
from setpoint.store.summaries import BUCKET, DAY_GRAIN, Progress, Summaries, basis, stored_features

_CHUNK_ROWS = 4_000_000


def refresh(layout: Layout, model: Model, now: int) -> int:
    """Recompute every bucket that is new or dirty, in one transaction; return how many were.

    The caller holds the lease: two refreshes at once would do the same work twice.

    Args:
        layout: The store.
        model: The declaration.
        now: The present; buckets that end later are not closed yet.
    """
    step = bucket_seconds(model.timezone) * MICROS
    with (
        Snapshot(layout, model.name) as snapshot,
        Summaries.writing(layout.summaries(model.name)) as summaries,
    ):
        before = summaries.progress()
        evidence = RowEvidence(snapshot.connection, model, snapshot.columns, now)
        if before is not None and before.basis == basis(model) and not _has_new_features(before, evidence):
            evidence.definition = before.definition
        else:
            before = None
            summaries.clear()
        closed_until = now // step * step
        stale = _stale(evidence, before, closed_until, step)
        for chunk in _chunks(evidence, stale, step):
            _replace(summaries, evidence, chunk, step)
        _merge_days(summaries, model, stale, step)
        span = evidence.span
        summaries.save_progress(
            Progress(
                basis=basis(model),
                ships=snapshot.ships,
                ticked_at=now,
                closed_until=closed_until,
                first_at=span.start if span else None,
                last_at=span.end - 1 if span else None,
                last_outcome_at=evidence.last_outcome_at(),
                features=stored_features(evidence.definition),
                outcome_shift=evidence.definition.outcome_shift,
                changes=evidence.changes(None),
            )
        )
    return len(stale)


def _has_new_features(before: Progress, evidence: RowEvidence) -> bool:
    return not set(evidence.profiled) <= set(before.features)


def _stale(evidence: RowEvidence, before: Progress | None, closed_until: int, step: int) -> list[int]:
    """Return the closed buckets that have no valid state yet, oldest first."""
    span = evidence.span
    if before is None:
        found: set[int] = set() if span is None else set(range(span.start // step * step, span.end, step))
        found |= dirty_buckets(evidence.connection, evidence.matching(None), {}, step // MICROS)
    else:
        found = dirty_buckets(evidence.connection, evidence.matching(None), before.ships, step // MICROS)
        found |= _ripe(evidence, before, step) | set(before.marked)
        if span is not None:
            found |= set(range(before.closed_until, min(closed_until, span.end), step))
    return sorted(start for start in found if start + step <= closed_until)


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
    queries: list[tuple[StateKind, Callable[[], StateTable]]] = [
        (quality_kind(evidence.model), lambda: evidence.quality(window, bucket_seconds=seconds)),
        (TRAFFIC, lambda: evidence.traffic(window, bucket_seconds=seconds)),
        (SPENDING, lambda: evidence.spending(window, bucket_seconds=seconds)),
        (PROFILE, lambda: evidence.profile(window, bucket_seconds=seconds)),
    ]
    for kind, query in queries:
        parts = split_by_bucket(query())
        summaries.replace(kind, BUCKET, {start: parts.get(start) for start in starts})


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
        cast("int", table.levels[place][code]): flat.take(chosen)
        for code, chosen in zip(found.tolist(), parts, strict=True)
    }


def _merge_days(summaries: Summaries, model: Model, stale: Sequence[int], step: int) -> None:
    """Merge the buckets of each touched local day into one state."""
    zone = model.timezone
    midnights = sorted({local_midnight(start, zone) for start in stale})
    for kind in (quality_kind(model), TRAFFIC, SPENDING, PROFILE):
        days: dict[int, StateTable | None] = {}
        for midnight in midnights:
            starts = range(midnight, shift_days(midnight, 1, zone), step)
            days[midnight] = merge(kind, list(summaries.tables(kind, BUCKET, starts).values()))
        summaries.replace(kind, DAY_GRAIN, days)
