"""Which models are there, who answers for each, and what is missing?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.core.clock import DAY
from setpoint.core.clock import text as time_text
from setpoint.core.metric import counted, number
from setpoint.core.model import Model
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.feedback.quality import arrival
from setpoint.predictions.meter import traffic
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

QUIET_DAYS = 30
_TRAFFIC_LENGTH, _VALUE_LENGTH = 7 * DAY, 30 * DAY
COLUMNS = (
    "model", "endpoint", "owner", "on_call", "business_metric", "versions", "last_prediction_at",
    "requests_7d", "value_usd_30d", "missing",
)  # fmt: skip
DEBT_COLUMNS = ("model", "missing", "what_to_do")


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the inventory.

    Attributes:
        model: Its declaration.
        versions: Versions that answered in the last 30 days of its traffic.
        last_at: Time of the last prediction; None before any.
        requests: Predictions asked for in the last seven days.
        value_usd: What its outcomes of the last 30 days were worth; None when no outcome says.
        missing: What is missing, each with what to do about it.
    """

    model: Model
    versions: tuple[str, ...]
    last_at: int | None
    requests: int
    value_usd: float | None
    missing: tuple[tuple[str, str], ...]


def inventory(evidences: Iterable[RowEvidence], *, debt: bool = False, days: int = QUIET_DAYS) -> Answer:
    """Return one row a model, those that matter most first: by value, then by requests.

    Args:
        evidences: The states of each model. Each is looked at before the next is asked for.
        debt: Only models with something missing, a row for each thing and what to do about it.
        days: A model without a prediction, or without an outcome, for longer counts as quiet.
    """
    entries: list[Entry] = []
    as_of = 0
    for evidence in evidences:
        entries.append(entry(evidence, days))
        as_of = max(as_of, evidence.as_of)
    entries.sort(key=lambda one: (-(one.value_usd or 0.0), -one.requests, one.model.name))
    owing = [one for one in entries if one.missing]
    verdict = Verdict.WARNING if owing else Verdict.OK if entries else Verdict.UNKNOWN
    zones = {one.model.timezone for one in entries}
    zone = zones.pop() if len(zones) == 1 else "UTC"
    return Answer(
        question="models",
        model="",
        verdict=verdict,
        headline=_headline(entries, owing),
        because=_because(owing, debt=debt),
        unknowns=() if entries else ("the store has no model: record a prediction, or run `setpoint apply`",),
        as_of=as_of,
        zone=zone,
        tables=(_debt_table(owing) if debt else _models_table(entries),),
    )


def entry(evidence: RowEvidence, days: int = QUIET_DAYS) -> Entry:
    """Return what is known of one model, and what is missing."""
    model, now, seen = evidence.model, evidence.as_of, evidence.span
    last = None if seen is None else min(seen.end - 1, now)
    week, month = Window(now - _TRAFFIC_LENGTH, now), Window(now - _VALUE_LENGTH, now)
    if last is None:
        requests, worth, versions = 0, None, ()
    else:
        requests = traffic(evidence.traffic(week), week).requests
        worth = _worth(evidence.quality(month))
        versions = _versions(evidence.traffic(Window(last + 1 - _VALUE_LENGTH, last + 1)))
    return Entry(model, versions, last, requests, worth, tuple(_missing(evidence, last, days)))


def _worth(state: StateTable) -> float | None:
    roots = state.only(is_root=True)
    return roots.total("value_usd") or None


def _versions(state: StateTable) -> tuple[str, ...]:
    return tuple(sorted({str(version) for version in state.key("version") if version is not None}))


def _missing(evidence: RowEvidence, last: int | None, days: int) -> Iterable[tuple[str, str]]:
    model, now = evidence.model, evidence.as_of
    file = f"models/{model.name}.yaml"
    if model.owner is None:
        yield "no owner", f"add owner: {{team: ..., on_call: ...}} to {file}"
    elif not model.owner.on_call:
        yield "no on-call", f"add on_call to the owner in {file}"
    if model.owner is not None and not model.runbook:
        yield "no runbook", f"add runbook: quality-fell, or one of your own, to {file}: setpoint runbook list"
    if model.business_metric is None:
        yield "no business metric", f"add business_metric: {{name: ...}} to {file}"
    if not model.expectations:
        yield (
            "no expectation",
            f"add quality: {{auc: {{at_least: ...}}}} to {file}, or setpoint snapshot",
        )
    if not model.cohorts:
        yield "no cohort", f"add cohorts: [COLUMN] to {file}"
    if last is None:
        yield "no prediction ever", "record predictions, or retire the model"
    elif last < now - days * DAY:
        yield (
            f"no prediction for {days} days",
            f"last one {time_text(last, model.timezone)}: retire it, or find out",
        )
    if last is not None and not _has_outcomes(evidence, days):
        yield f"no outcomes for {days} days", "record outcomes: without them no quality is known"


def _has_outcomes(evidence: RowEvidence, days: int) -> bool:
    since = evidence.as_of - days * DAY
    if evidence.is_joined:
        return arrival(evidence.quality(Window(since, evidence.as_of))).rows > 0
    learned = evidence.last_outcome_at()
    return learned is not None and learned >= since


def _headline(entries: list[Entry], owing: list[Entry]) -> str:
    if not entries:
        return "no model yet"
    count = counted(len(entries), "model")
    return f"{count}, nothing is missing" if not owing else f"{count}, {len(owing)} with something missing"


def _because(owing: list[Entry], *, debt: bool) -> tuple[str, ...]:
    if debt or not owing:
        return ()
    return ("what to do about each: setpoint models --debt",)


def _models_table(entries: list[Entry]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for one in entries:
        model = one.model
        owner, on_call = (model.owner.team, model.owner.on_call) if model.owner else ("", "")
        metric = model.business_metric.name if model.business_metric else ""
        versions = ", ".join(one.versions)
        missing = ", ".join(what for what, _ in one.missing)
        last = "" if one.last_at is None else time_text(one.last_at, model.timezone)
        utc = None if one.last_at is None else time_text(one.last_at, "UTC") + "Z"
        texts = [text or None for text in (model.endpoint, owner, on_call, metric, versions)]
        rows.append((model.name, *texts, utc, one.requests, one.value_usd, missing or None))
        worth = "" if one.value_usd is None else number(one.value_usd, "usd")
        lines.append(
            (
                model.name,
                model.endpoint,
                owner,
                on_call,
                metric,
                versions,
                last,
                f"{one.requests:,}",
                worth,
                missing,
            )
        )
    shown = (
        "model", "endpoint", "owner", "on-call", "business metric", "versions", "last prediction",
        "requests 7 d", "value 30 d", "missing",
    )  # fmt: skip
    return Table("models", COLUMNS, rows, shown, lines)


def _debt_table(owing: list[Entry]) -> Table:
    found = [(one.model.name, what, todo) for one in owing for what, todo in one.missing]
    rows: list[tuple[Cell, ...]] = list(found)
    lines: list[tuple[str, ...]] = list(found)
    return Table("debt", DEBT_COLUMNS, rows, ("model", "missing", "what to do"), lines)
