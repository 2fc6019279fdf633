"""What caused a change, what follows from that, and what to check first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.control.causes import came_with, causes_of
from setpoint.control.incidents import may_have_begun
from setpoint.control.previous import Previous, previous_of, remedy_for
from setpoint.control.symptoms import FLAGGED, OPERATIONAL, Shift, cohort_of, metrics_of
from setpoint.core.cause import Cause, Remedy, common
from setpoint.core.clock import DAY, text
from setpoint.core.errors import UsageError
from setpoint.core.guardrail import COUNTED_METRICS, LATENCY, MONEY_METRICS, SUBTLE
from setpoint.core.incident import Incident
from setpoint.core.metric import number
from setpoint.core.model import Model
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


@dataclass(frozen=True, slots=True)
class Explained:
    """What happened to one model.

    Attributes:
        shift: What changed, and when; None when nothing did beyond its noise.
        causes: What may have caused it, most likely first.
        of: The cohort that it is about; None for all rows.
        previous: What is known of the version before; None where nothing changed.
    """

    shift: Shift | None
    causes: Sequence[Cause]
    of: OneCohort | None = None
    previous: Previous | None = None

    def remedy(self, cause: Cause) -> tuple[Remedy, str]:
        """Return what is to be done about a cause, and why."""
        if self.previous is None or cause.remedy[0] not in _CHECKED:
            return cause.remedy
        return remedy_for(cause, self.previous)


_CHECKED: tuple[Remedy, ...] = ("rollback", "hotfix")
"""What helps or not by what became of the version before."""


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
    return _answer(evidence, {"": _found(evidence, (metric,), span)}, metric)


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
    return _answer(evidence, {"": found}, f"{metric} of {of.name}")


def why_incident(
    evidence: RowEvidence, incident: Incident, runbook: Runbook | None, each: Mapping[str, Explained]
) -> Answer:
    """What caused an incident, and what is to be checked first?

    Of several models causes are ranked by what they explain on average, and what is to be done is told of each that
    the likeliest is a cause of.

    Args:
        evidence: The first of its models.
        incident: The incident.
        runbook: The one that is for it; None when there is none.
        each: By name what happened to its models, the first one first.
    """
    first = runbook.checks[0] if runbook is not None and runbook.checks else None
    notes = [] if runbook is None or first is None else [f"first check of {runbook.name}: {first.name}"]
    if not any(one.shift for one in each.values()) and any(one.causes for one in each.values()):
        notes.insert(0, _NO_METRIC)
    if len(each) > 1:
        notes.insert(0, _shared(incident, each))
    return _answer(evidence, each, incident.incident_id, notes)


def explained(
    evidence: RowEvidence, incident: Incident, training: RowEvidence | None = None, *, until: int | None = None
) -> Explained:
    """Return what happened to one of the models of an incident.

    Args:
        evidence: The model.
        incident: The incident.
        training: The rows that it was trained on; None when nobody knows them.
        until: When it did no more harm: rows since hide what did it, and are looked at only when those before tell
            nothing. None while it does.
    """
    cohort = cohort_of(incident, evidence.model)
    of = None if cohort is None else one_cohort(evidence, *cohort)
    ends = dict.fromkeys([min(until or evidence.as_of, evidence.as_of), evidence.as_of])
    found: list[Explained] = []
    for end in ends:
        found.append(_explained(evidence, incident, end, of, training))
        if found[-1].causes:
            return found[-1]
    return found[0]


def _explained(
    evidence: RowEvidence, incident: Incident, end: int, of: OneCohort | None, training: RowEvidence | None
) -> Explained:
    begun, span = incident.started_at, evidence.span
    if of is None:
        span = Window(begun - max(_BEFORE, end - begun), end)
    elif span is not None and end < evidence.as_of:
        span = Window(span.start, end)
    found = _found(evidence, metrics_of(incident, evidence.model), span, of, training)
    if found.shift is not None or found.causes or incident.kind not in SUBTLE:
        return found
    earliest = may_have_begun(incident, evidence.findings())
    span = Window(min(begun, earliest) - _BEFORE, end)
    return Explained(None, came_with(evidence, span, earliest), of) if evidence.has_rows_of(span) else found


def _shared(incident: Incident, each: Mapping[str, Explained]) -> str:
    """Return in which models the most likely cause is so by itself, and how many were looked at."""
    causes = _causes(each)
    looked = f"{len(each)} of {len(incident.models)} models looked at" if len(each) < len(incident.models) else ""
    if not causes:
        return looked or f"no cause in any of {len(each)} models"
    firsts = [name for name, one in each.items() if one.causes and _is_same(one.causes[0], causes[0])]
    where = (
        f"first in {len(firsts)} of {len(each)} models: {', '.join(firsts)}" if firsts else "first in no single model"
    )
    return f"{where}; {looked}" if looked else where


def _causes(each: Mapping[str, Explained]) -> Sequence[Cause]:
    found = [one.causes for one in each.values()]
    return found[0] if len(found) == 1 else common(found)


def _is_same(one: Cause, other: Cause) -> bool:
    return (one.kind, one.subject) == (other.kind, other.subject)


def _advice(hit: Mapping[str, Explained], cause: Cause) -> str:
    """Return what is to be done about a cause and why: of several models one thing only when it holds for all of them.

    Args:
        hit: The models that it is a cause of.
        cause: The cause.
    """
    told: dict[tuple[Remedy, str], list[str]] = {}
    for name, one in hit.items():
        own = next(own for own in one.causes if _is_same(own, cause))
        told.setdefault(one.remedy(own), []).append(name)
    if len(told) == 1:
        return ": ".join(*told)
    remedies = {remedy for remedy, _ in told}
    if len(remedies) == 1:
        return f"{remedies.pop()}: " + "; ".join(f"{', '.join(names)}: {reason}" for (_, reason), names in told.items())
    each = (f"{remedy} in {', '.join(names)}: {reason}" for (remedy, reason), names in told.items())
    return f"another thing in each model: {'; '.join(each)}"


def _found(
    evidence: RowEvidence,
    metrics: Sequence[str],
    span: Window | None,
    of: OneCohort | None = None,
    training: RowEvidence | None = None,
) -> Explained:
    if span is None or not evidence.has_rows_of(span):
        return Explained(None, (), of)
    shift, causes = causes_of(evidence, metrics, span, of, training)
    if shift is None or not any(one.remedy[0] in _CHECKED for one in causes):
        return Explained(shift, causes, of)
    blamed = next((one.subject for one in causes if one.kind == "model_version"), "")
    return Explained(shift, causes, of, previous_of(evidence, shift, of, blamed=blamed))


def _answer(evidence: RowEvidence, each: Mapping[str, Explained], asked: str, notes: Sequence[str] = ()) -> Answer:
    zone, causes = evidence.model.timezone, _causes(each)
    hit = {name: one for name, one in each.items() if causes and any(_is_same(own, causes[0]) for own in one.causes)}
    because = list(notes)
    # Of several models the first one that is hit is shown.
    shift, of = next(((one.shift, one.of) for one in (*hit.values(), *each.values()) if one.shift), (None, None))
    if shift is not None:
        moved = " → ".join(number(value, "") for value in (shift.before, shift.after))
        where = f" of {of.name}" if of is not None else ""
        because.insert(
            0, f"{shift.symptom.metric}{where} changed {text(shift.current.start, zone)}: mean over rows {moved}"
        )
    if causes:
        because.insert(0, _advice(hit, causes[0]) + _upstream(evidence.model, causes[0]))
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


def _upstream(model: Model, cause: Cause) -> str:
    """Return whom to ask in words, where another team owns what a cause came from."""
    return f"; ask {cause.ask}" if cause.ask.partition(" (")[0] in dict(model.sources).values() else ""


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
