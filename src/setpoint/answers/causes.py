"""What caused a change, what follows from that, and what to check first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.control.causes import came_with, causes_of
from setpoint.control.previous import previous_of, remedy_for
from setpoint.control.symptoms import FLAGGED, OPERATIONAL, Shift, cohort_of, metrics_of
from setpoint.core.cause import Cause, common
from setpoint.core.clock import DAY, text
from setpoint.core.errors import UsageError
from setpoint.core.guardrail import COUNTED_METRICS, LATENCY, MONEY_METRICS, SUBTLE
from setpoint.core.incident import Incident
from setpoint.core.metric import number
from setpoint.core.runbook import Runbook
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.store.cause_rows import OneCohort, one_cohort
from setpoint.store.evidence import RowEvidence

CAUSE_COLUMNS = ("cause", "subject", "explained", "recency", "prior", "score", "started_at", "ask", "said")
_SHOWN = ("cause", "explains", "since", "ask", "")
_MOST = 6
_BEFORE = 7 * DAY
NO_CAUSE = "no cause found"
_NO_METRIC = "no metric moved beyond its noise yet: this is what began to come when the inputs drifted"


def is_operational(metric: str) -> bool:
    """Return whether a metric is none of quality's, so that only its causes can be told."""
    return metric in {FLAGGED, *OPERATIONAL, *COUNTED_METRICS, *MONEY_METRICS} or LATENCY.fullmatch(metric) is not None


def why_metric(
    evidence: RowEvidence, metric: str, *, current: Window | None = None, reference: Window | None = None
) -> Answer:
    """What caused a change of one metric between two windows? See `why`.

    Args:
        evidence: A recorded model.
        metric: Such as `latency_p95_seconds`, or a metric of quality.
        current: The later window; the last seven days by default.
        reference: The earlier one; the same length just before by default.
    """
    current = current or Window(evidence.as_of - _BEFORE, evidence.as_of)
    span = Window((reference or current.before()).start, current.end)
    return _answer(evidence, *_found(evidence, (metric,), span), metric)


def why_cohort(
    evidence: RowEvidence,
    metric: str,
    cohort: str,
    *,
    within: Window | None = None,
    training: RowEvidence | None = None,
) -> Answer:
    """Why is a metric of one cohort as it is: did it change, or was it never good?

    Args:
        evidence: A recorded model.
        metric: A metric of quality.
        cohort: A declared cohort and its value, such as `carrier=VX`.
        within: Predictions of this window; all by default.
        training: The rows that the model was trained on; None when nobody knows them.

    Raises:
        UsageError: No such metric, no such cohort, or the predictions are those of a file.
    """
    if not evidence.is_recorded:
        msg = "one cohort is explained of recorded models only"
        raise UsageError(msg, hint="put the file into a store with setpoint import")
    name, is_told, value = cohort.partition("=")
    if not is_told:
        msg = f"not one cohort: {cohort!r}"
        raise UsageError(msg, hint="write its name and a value: carrier=VX")
    of = one_cohort(evidence, name, value)
    found = _found(evidence, (metric,), within or evidence.span, of, training)
    return _answer(evidence, *found, f"{metric} of {of.name}", of=of)


def why_incident(
    evidence: RowEvidence,
    incident: Incident,
    runbook: Runbook | None,
    training: RowEvidence | None = None,
    *,
    beside: Mapping[str, Sequence[Cause]] | None = None,
) -> Answer:
    """What caused an incident, and what is to be checked first?

    Args:
        evidence: The first of its models.
        incident: The incident.
        runbook: The one that is for it; None when there is none.
        training: The rows that the model was trained on; None when nobody knows them.
        beside: By name the causes of others of its models: then causes are ranked by what they explain on average.
    """
    shift, causes, of = incident_causes(evidence, incident, training)
    first = runbook.checks[0] if runbook is not None and runbook.checks else None
    notes = [] if runbook is None or first is None else [f"first check of {runbook.name}: {first.name}"]
    if shift is None and causes:
        notes.insert(0, _NO_METRIC)
    if beside:
        each = {evidence.model.name: causes, **beside}
        causes = common(list(each.values()))
        notes.insert(0, _shared(incident, each, causes))
    return _answer(evidence, shift, causes, incident.incident_id, notes, of)


def incident_causes(
    evidence: RowEvidence, incident: Incident, training: RowEvidence | None = None
) -> tuple[Shift | None, list[Cause], OneCohort | None]:
    """Return what changed in one of the models of an incident, what may have caused it, and the cohort it is about."""
    cohort = cohort_of(incident, evidence.model)
    of = None if cohort is None else one_cohort(evidence, *cohort)
    span = (
        evidence.span
        if of is not None
        else Window(incident.started_at - max(_BEFORE, evidence.as_of - incident.started_at), evidence.as_of)
    )
    shift, causes = _found(evidence, metrics_of(incident, evidence.model), span, of, training)
    if shift is None and not causes and incident.kind in SUBTLE and span is not None and evidence.has_rows_of(span):
        causes = came_with(evidence, span, incident.not_before)
    return shift, causes, of


def _shared(incident: Incident, each: Mapping[str, Sequence[Cause]], causes: Sequence[Cause]) -> str:
    """Return in which models the most likely cause is so by itself, and how many were looked at."""
    looked = f"{len(each)} of {len(incident.models)} models looked at" if len(each) < len(incident.models) else ""
    if not causes:
        return looked or f"no cause in any of {len(each)} models"
    top = (causes[0].kind, causes[0].subject)
    firsts = [name for name, found in each.items() if found and (found[0].kind, found[0].subject) == top]
    where = (
        f"first in {len(firsts)} of {len(each)} models: {', '.join(firsts)}" if firsts else "first in no single model"
    )
    return f"{where}; {looked}" if looked else where


def _found(
    evidence: RowEvidence,
    metrics: Sequence[str],
    span: Window | None,
    of: OneCohort | None = None,
    training: RowEvidence | None = None,
) -> tuple[Shift | None, list[Cause]]:
    if span is None or not evidence.has_rows_of(span):
        return None, []
    return causes_of(evidence, metrics, span, of, training)


def _answer(
    evidence: RowEvidence,
    shift: Shift | None,
    causes: list[Cause],
    asked: str,
    notes: Sequence[str] = (),
    of: OneCohort | None = None,
) -> Answer:
    zone = evidence.model.timezone
    because = list(notes)
    if shift is not None:
        moved = " → ".join(number(value, "") for value in (shift.before, shift.after))
        where = f" of {of.name}" if of is not None else ""
        because.insert(
            0, f"{shift.symptom.metric}{where} changed {text(shift.current.start, zone)}: mean over rows {moved}"
        )
    if causes:
        remedy, reason = causes[0].remedy
        if shift is not None and remedy in {"rollback", "hotfix"}:
            remedy, reason = remedy_for(causes[0], previous_of(evidence, shift, of))
        because.insert(0, f"{remedy}: {reason}")
        headline = f"{asked}: {causes[0].said}"
    else:
        nothing = "the metric did not change beyond its noise" if shift is None else "no rows or changes explain it"
        headline = f"{asked}: {NO_CAUSE}: {nothing}"
    unchecked = [cause.said for cause in causes[:1] if cause.explained is None]
    return Answer(
        "why",
        evidence.model.name,
        Verdict.OK if causes else Verdict.UNKNOWN,
        headline,
        tuple(because),
        tuple(f"how much of the change this explains: {said}" for said in unchecked),
        evidence.as_of,
        zone,
        (cause_table(causes, zone),),
    )


def cause_table(causes: Sequence[Cause], zone: str) -> Table:
    """Return causes, the most likely first."""
    rows: list[tuple[Cell, ...]] = [
        (one.kind, one.subject, one.explained, one.recency, one.prior, one.score, one.at, one.ask or None, one.said)
        for one in causes
    ]
    lines = [
        (
            one.kind.replace("_", " "),
            "not checked" if one.explained is None else number(one.explained, "share"),
            text(one.at, zone),
            one.ask,
            one.said,
        )
        for one in causes[:_MOST]
    ]
    return Table("causes", CAUSE_COLUMNS, rows, _SHOWN, lines)
