"""Ranks what may have caused a change: collected from rows and changes, each checked by recomputing the metric."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import cast

from setpoint.control.input_suspects import inputs
from setpoint.control.never_learned import never_learned
from setpoint.control.serving_suspects import serving
from setpoint.control.suspects import LABELS, Suspect, cohorts, labels
from setpoint.control.symptoms import Shift, shift_of, symptom_of
from setpoint.core.cause import Cause, CauseKind, ranked
from setpoint.core.events import UNFOLLOWED
from setpoint.core.window import Window
from setpoint.store.cause_rows import TABLE, OneCohort, keep_only, load_cause_rows
from setpoint.store.engines.duck import at, rows
from setpoint.store.evidence import CHANGES, RowEvidence

_LEAST_EXPLAINED = 0.2
_FEWEST_LEFT = 30
_MOST_NEW = 20
_LEAST_NEW = 0.05
_SEEN_IN_ROWS: dict[str, CauseKind] = {
    "version": "model_version",
    "feature": "feature_version",
    "price": "price",
    "prompt": "prompt",
    "provider_model": "provider_model",
}


def causes_of(
    evidence: RowEvidence,
    metrics: Sequence[str],
    span: Window,
    of: OneCohort | None = None,
    training: RowEvidence | None = None,
) -> tuple[Shift | None, list[Cause]]:
    """Return the metric that changed most within a stretch and when, and what may have caused it, most likely first.

    Args:
        evidence: A recorded model, with its rows.
        metrics: Those that may have changed.
        span: The stretch, with enough of the time before; of a cohort all of its time.
        of: Only the rows of this cohort changed; None for all.
        training: The rows that the model was trained on; None when nobody knows them.

    Returns:
        No change and no cause when none of the metrics changed beyond its noise; no change and one cause when the
        cohort never was served well.
    """
    table = load_cause_rows(evidence, span)
    # Where rows begin later than the stretch, nothing before them is a time in which all was well.
    (first,) = rows(evidence.connection, f"SELECT coalesce(min(moment), {span.start}) FROM {TABLE}")[0]
    span = Window(cast("int", first), span.end)
    symptoms = [symptom_of(evidence, metric) for metric in metrics]
    if of is not None:
        never = (never_learned(evidence, one, of, training) for one in symptoms)
        if cause := next((one for one in never if one is not None), None):
            return None, [cause]
        keep_only(evidence, of)
    is_of_cohort = of is not None
    shifts = [shift_of(evidence, one, span, is_of_cohort=is_of_cohort) for one in symptoms]
    found = [one for one in shifts if one is not None]
    if not found:
        return None, []
    shift = max(found, key=lambda one: one.certainty)
    suspects = (
        *labels(evidence, shift),
        *inputs(evidence, shift, table),
        *serving(evidence, shift),
        *cohorts(evidence, shift, table),
    )
    checked = [cause for one in suspects if (cause := _checked(evidence, shift, one, is_of_cohort=is_of_cohort))]
    seen = {cause.kind for cause in checked}
    return shift, ranked([*checked, *_announced(evidence, shift, seen)])


def came_with(evidence: RowEvidence, span: Window, not_before: int) -> list[Cause]:
    """Return what rows are labelled with since inputs began to drift: no metric moved that could be recomputed without.

    Args:
        evidence: A recorded model, with its rows.
        span: The stretch, with enough of the time before.
        not_before: When the drift may have begun at the earliest.
    """
    load_cause_rows(evidence, span)
    told: list[Cause] = []
    for kind, column, said in LABELS:
        found = rows(
            evidence.connection,
            f"SELECT CAST({column} AS VARCHAR), min(moment), sum(weight), mode(source) FROM {TABLE}"
            f" WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 3 DESC, 1",
        )
        seen = cast("list[tuple[str, int, float, str | None]]", found)
        new = [one for one in seen if one[1] >= not_before]
        if not new or len(new) == len(seen) or len(new) > _MOST_NEW:  # not recorded before, or another for each row
            continue
        began = min(first for _, first, *_ in new)
        whole = rows(evidence.connection, f"SELECT sum(weight) FROM {TABLE} WHERE moment >= {began}")[0][0]
        share = sum(one[2] for one in new) / cast("float", whole)
        if share >= _LEAST_NEW:
            names = ", ".join(name for name, *_ in new)
            words = f"{said.format(names)} for {share:.0%} of the rows since"
            suspect = Suspect(kind, names, words, by_source=kind == "feature_version")
            told.append(Cause(kind, names, None, began, 1.0, suspect.said, _asked(evidence, suspect, new[0][3] or "")))
    return ranked(told)


def _checked(evidence: RowEvidence, shift: Shift, suspect: Suspect, *, is_of_cohort: bool) -> Cause | None:
    """Return a suspect with the share of the change that is gone without it; None when that is next to nothing."""
    explained = _explained(evidence, shift, suspect, is_of_cohort=is_of_cohort)
    if suspect.kind == "cohort" and explained is not None:
        explained = min(explained, _within(evidence, shift, suspect))
    if explained is not None and explained < _LEAST_EXPLAINED:
        return None
    if explained is None and suspect.kind == "cohort":
        return None  # all rows since are of it
    began, recency, source = shift.current.start, 1.0, ""
    if suspect.where and suspect.kind != "cohort":  # a cohort was there before
        first, common = rows(
            evidence.connection,
            f"SELECT quantile_disc(moment, 0.01), mode(source) FROM {TABLE}"
            f" WHERE ({suspect.where}) AND moment >= {shift.current.start - shift.current.length // 4}",
        )[0]
        began, source = cast("int", first), cast("str | None", common) or ""
        recency = _recency(shift, began)
    asked = _asked(evidence, suspect, source)
    return Cause(suspect.kind, suspect.subject, explained, began, recency, suspect.said, asked)


def _asked(evidence: RowEvidence, suspect: Suspect, source: str) -> str:
    """Return whom to ask about a suspect: who owns what it came from, by declaration or as rows name it; else us."""
    model = evidence.model
    named = suspect.subject if suspect.kind in {"provider_model", "price", "outcome_source", "input_source"} else ""
    if suspect.by_source:
        declared = model.source_of(suspect.subject)
        named = source if source.startswith(declared) else declared  # what rows name tells the version too
    return model.whom_to_ask(named) if named else model.owner.team if model.owner is not None else ""


def _recency(shift: Shift, began: int) -> float:
    """Return how well a begin fits the change point: 1 at it, half a tenth of either side away."""
    away = abs(began - shift.current.start) / max(1.0, 0.1 * (shift.current.length + shift.reference.length) / 2.0)
    return math.exp(-0.7 * max(0.0, away - 0.3))


def _explained(evidence: RowEvidence, shift: Shift, suspect: Suspect, *, is_of_cohort: bool) -> float | None:
    """Return the share of the change that is gone without a suspect, 0 to 1; None where too few rows are left.

    Of one cohort's rows none might be left: they are recomputed as if the suspect's had fared as those before.
    """
    value, weight, fewest = suspect.restored or shift.symptom.value, "weight", _FEWEST_LEFT
    left = f"({suspect.where}) IS NOT TRUE" if suspect.where else "true"
    if is_of_cohort and suspect.where and suspect.kind != "cohort":
        hit = f"({suspect.where}) AND moment >= {shift.current.start} AND ({value}) IS NOT NULL"
        value, left, fewest = f"CASE WHEN {hit} THEN {shift.before!r} ELSE {value} END", "true", 1
    if suspect.reweighted:
        weight = f"weight * CASE WHEN moment >= {shift.current.start} THEN {suspect.reweighted} ELSE 1.0 END"
    sides: list[tuple[float | None, int]] = []
    for side in (shift.reference, shift.current):
        used = value if side is shift.current or not suspect.restored else shift.symptom.value
        found = rows(
            evidence.connection,
            "SELECT sum(w * v) / nullif(sum(w), 0), count(v)"
            " FROM (SELECT CASE WHEN v IS NOT NULL THEN w END AS w, v"
            f" FROM (SELECT {weight} AS w, {used} AS v FROM {TABLE}"
            f" WHERE moment >= {side.start} AND moment < {side.end} AND {left}))",
        )[0]
        sides.append(cast("tuple[float | None, int]", found))
    (before, rows_before), (after, rows_after) = sides
    if before is None or after is None or min(rows_before, rows_after) < fewest:
        return None
    whole = shift.after - shift.before
    return min(1.0, max(0.0, 1.0 - (after - before) / whole))


def _within(evidence: RowEvidence, shift: Shift, suspect: Suspect) -> float:
    """Return the share of the change that came from inside a cohort, 0 to 1: more rows of it are another mix.

    Source: the part inside the groups of Kitagawa's split (1955).
    """
    since = f"moment >= {shift.current.start}"
    own = f"({suspect.where}) IS TRUE"
    [found] = rows(
        evidence.connection,
        f"SELECT {_mean(f'{own} AND NOT {since}')}, {_mean(f'{own} AND {since}')},"
        f" sum(weight) FILTER ({own} AND {since}) / sum(weight) FILTER ({since})"
        f" FROM (SELECT *, {shift.symptom.value} AS v FROM {TABLE}) WHERE v IS NOT NULL",
    )
    before, after, share = cast("tuple[float | None, ...]", found)
    if before is None or after is None or share is None:
        return 0.0
    return min(1.0, max(0.0, share * (after - before) / (shift.after - shift.before)))


def _mean(which: str) -> str:
    return f"sum(weight * v) FILTER ({which}) / sum(weight) FILTER ({which})"


def _announced(evidence: RowEvidence, shift: Shift, seen: Collection[str]) -> list[Cause]:
    """Return what was said to be changed about then, and is no cause already that rows tell of."""
    near = shift.current.length // 2
    found = rows(
        evidence.connection,
        "SELECT kind, coalesce(subject, ''), epoch_us(started_at), coalesce(author, '')"
        f" FROM {CHANGES}"
        f" WHERE started_at >= {at(shift.current.start - near)} AND started_at < {at(shift.current.end)}"
        " ORDER BY started_at, kind, subject",
    )
    told: list[Cause] = []
    for kind, subject, began, author in cast("list[tuple[str, str, int, str]]", found):
        if kind in _SEEN_IN_ROWS or (kind == "config" and "threshold_changed" in seen):
            continue  # rows tell whether it did anything
        said = f"{kind} {subject}".rstrip() + (" was told by a service" if subject == UNFOLLOWED else " was announced")
        told.append(Cause("announced", f"{kind} {subject}".rstrip(), None, began, _recency(shift, began), said, author))
    return told
