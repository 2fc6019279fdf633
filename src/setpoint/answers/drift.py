"""Has any feature drifted? What a detector found at the end of the last day, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.feature_changes import FEWEST
from setpoint.core.clock import day_text, text
from setpoint.core.metric import counted, number
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window, days_in_words
from setpoint.inputs.detection import BUDGET, FEWEST_DAYS, FEWEST_ROWS, Drift, in_words
from setpoint.inputs.drift import STARTED_TO_VARY
from setpoint.inputs.gross import FEWEST_DAYS as FEWEST_DAYS_BY_HOUR
from setpoint.inputs.gross import Gross
from setpoint.inputs.questions import Question

DRIFT_COLUMNS = ("feature", "drifted", "p", "question", "days", "effect", "low", "high", "note")
GROSS_COLUMNS = ("feature", "sign", "since", "share", "rows", "usual_share")
_SHOWN = 8
_UNITS: dict[Question, str] = {
    "location": "standard deviations from before",
    "spread": "log of the ratio of variances",
    "missing": "share of rows without a value, more than before",
    "shape": "share of rows that lie elsewhere",
    "unseen": "share of rows with a value never seen",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What there is to say about the last day of some.

    Attributes:
        drifts: What was found of each feature.
        gross: Gross changes within the last day.
        notes: Columns that cannot be compared, with what is special about them.
        unjudged: Features of which the reference says too little.
        reference: From its first to just after its last row, and the midnights of its days, oldest first.
        current: The same of the rows after it, and of the days that are judged.
        rows: Rows of the last one.
        zone: The zone of those.
        said: What is odd about the rows, in words.
    """

    drifts: Sequence[Drift]
    gross: Sequence[Gross]
    notes: Mapping[str, str]
    unjudged: Sequence[str]
    reference: tuple[Window, Sequence[int]]
    current: tuple[Window | None, Sequence[int]]
    rows: float
    zone: str
    said: Sequence[str] = ()

    @property
    def days(self) -> Sequence[int]:
        """Midnights of the days that are judged."""
        return self.current[1]

    @property
    def reference_days(self) -> int:
        """Days of the reference that have rows."""
        return len(self.reference[1])

    @property
    def is_inside(self) -> bool:
        """Whether all rows lie in the time of the reference, which then has what they show."""
        span, reference = self.current[0], self.reference[0]
        return span is not None and reference.start <= span.start and span.end <= reference.end

    @property
    def is_known(self) -> bool:
        """Whether the last day says anything: a feature to judge, and rows enough."""
        return bool(self.drifts and self.days) and self.rows >= FEWEST


def drifted(judged: Judged) -> Answer:
    """Return as an answer what was found."""
    alarms = [drift for drift in judged.drifts if drift.is_alarm] if judged.is_known else []
    is_other = bool(judged.days) and bool(alarms or judged.notes or judged.gross)
    is_fine = judged.is_known and not judged.is_inside
    verdict = Verdict.WARNING if is_other else Verdict.OK if is_fine else Verdict.UNKNOWN
    if STARTED_TO_VARY in judged.notes.values():
        verdict = Verdict.BREACH
    last = day_text(judged.days[-1], judged.zone) if judged.days else ""
    return Answer(
        question="drift",
        model="",
        verdict=verdict,
        headline=_headline(judged, alarms),
        because=_because(judged, last),
        unknowns=_unknowns(judged, alarms),
        as_of=judged.days[-1] if judged.days else 0,
        zone=judged.zone,
        tables=(_table(judged, alarms), *_gross_table(judged)),
    )


def _headline(judged: Judged, alarms: Sequence[Drift]) -> str:
    total = counted(len(judged.drifts) + len(judged.notes), "feature")
    if not judged.days:
        return "cannot say: there is no day after the reference"
    noted = [f"{name}: {note}" for name, note in judged.notes.items()]
    told = {gross.feature: f"{gross.feature} {gross.said}" for gross in reversed(judged.gross)}
    told |= {drift.feature: f"{drift.feature} {in_words(drift.answers[0])}" for drift in alarms}
    named = [*noted, *told.values()]
    if not named and not judged.drifts:
        return f"cannot say: no feature of the reference is in these days with {FEWEST_ROWS} values a day"
    if not named and judged.is_inside:
        return "cannot say: all rows lie in the time of the reference, so that what they show is the usual"
    if not named and not judged.is_known:
        return f"cannot say: the last day has {counted(judged.rows, 'row')}, needs {FEWEST}"
    if not named:
        return f"no drift in {total}"
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""  # noqa: PLR2004 — three are named
    return f"{len(named)} of {total} drifted: {'; '.join(named[:3])}{more}"


def _because(judged: Judged, last: str) -> tuple[str, ...]:
    reference = f"{days_in_words(*judged.reference)} of the reference"
    said = f"{last} and up to 15 days before it" if last else "no day"
    lines = [f"{said}, against {reference}", *_overlap(judged)]
    if judged.reference_days >= FEWEST_DAYS:
        lines.append("a change counts when it is more than rows and the usual difference between days make by chance")
    else:
        lines.append(
            f"fewer than {FEWEST_DAYS} reference days: how days differ is not known, so that margins stand in"
            " (.03 sd, 10 % of the variance, .5 % of the rows, 2 % elsewhere)"
        )
    lines.append(f"meant to alarm on at most {number(BUDGET, 'share')} of days without a change, all features together")
    return (*lines, *judged.said)


def _overlap(judged: Judged) -> list[str]:
    """Return that rows are not all after the reference, in words."""
    (span, _), (reference, _) = judged.current, judged.reference
    if span is None or span.start >= reference.end:
        return []
    if span.end <= reference.start:
        return [f"these rows lie before the reference, which begins {text(reference.start, judged.zone)}"]
    end = text(reference.end, judged.zone)
    return [f"rows before {end} lie in the time of the reference: what they show is in part the usual"]


def _unknowns(judged: Judged, alarms: Sequence[Drift]) -> tuple[str, ...]:
    short = f"a day of the reference lacks it, or it has fewer than {FEWEST_ROWS} values a day"
    found = [f"whether {', '.join(judged.unjudged)} drifted: {short}"] if judged.unjudged else []
    if judged.reference_days < FEWEST_DAYS_BY_HOUR:
        found.append(f"whether anything changed grossly within the day: needs {FEWEST_DAYS_BY_HOUR} days of reference")
    return (*found, *(["whether this does harm: drift alone is not harm"] if alarms or judged.gross else []))


def _table(judged: Judged, alarms: Sequence[Drift]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, True, None, None, None, None, None, None, note) for name, note in judged.notes.items()
    ]
    for drift in judged.drifts:
        first = drift.answers[0]
        rows.append(
            (drift.feature, drift.is_alarm, drift.p, first.question, first.days, first.effect,
             _finite(first.low), _finite(first.high),
             _UNITS[first.question])
        )  # fmt: skip
    lines = [(name, "", "", note) for name, note in judged.notes.items()]
    lines += [
        (drift.feature, f"{drift.p:.1e}", counted(drift.answers[0].days, "day"), in_words(drift.answers[0]))
        for drift in alarms[:_SHOWN]
    ]
    return Table("features", DRIFT_COLUMNS, rows, ("feature", "by chance", "seen in", "what"), lines)


def _gross_table(judged: Judged) -> list[Table]:
    """Return the gross changes of the last day; no table without any."""
    rows: list[tuple[Cell, ...]] = [
        (g.feature, g.sign, text(g.began_at, judged.zone), g.rate, g.rows, g.usual) for g in judged.gross
    ]
    lines = [(g.feature, text(g.began_at, judged.zone), g.said) for g in judged.gross[:_SHOWN]]
    return [Table("gross", GROSS_COLUMNS, rows, ("within the day", "since", "what"), lines)] if rows else []


def _finite(end: float) -> float | None:
    """Return an end of an interval; None for one that has none."""
    return end if math.isfinite(end) else None
