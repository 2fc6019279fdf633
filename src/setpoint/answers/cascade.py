"""From which confidence on may the cheap version answer, and what does that save?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.aside import aside_lines
from setpoint.answers.versions import require_versions, versions_of, window_of_rows
from setpoint.core.errors import UsageError
from setpoint.core.metric import Metric, counted, number
from setpoint.core.model import Task
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.predictions.cascades import Losses, audits, losses_of
from setpoint.stats.cascade import THRESHOLDS, Tuned, tuned
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import effective_size, ratio_of_means, wilson
from setpoint.stats.special import FloatArray, IntArray
from setpoint.store.evidence import RowEvidence
from setpoint.store.versus import count_passed_on, query_pairs

METRIC_COLUMNS = ("metric", "value", "low", "high", "unit", "rows", "unknown")
CURVE_COLUMNS = ("at_least", "cheap_share", "loss", "loss_low", "loss_high")
_SHOWN_SHARES = (0.25, 0.5, 0.75, 0.9, 1.0)


def tune_cascade(
    evidence: RowEvidence, *, cheap: str, expensive: str, loss: float = 0.01, window: Window | None = None
) -> Answer:
    """Return from which confidence on cheap answers may be taken so that a promise is kept, and what that saves.

    Args:
        evidence: The model's rows.
        cheap: The version that is asked first.
        expensive: The one that is asked when the first is not sure enough.
        loss: How many more of all answers may be wrong than if the expensive version gave each, 0 to 1.
        window: The window; the last 30 days by default.

    Raises:
        UsageError: A version did not predict in the window, they are the same, the loss lies outside 0 to 1, or rows
            were let go.
    """
    if not 0.0 < loss < 1.0:
        msg = f"a loss of {loss:g}, expected more than 0 and less than 1"
        raise UsageError(msg, hint="write --loss 0.01 for one answer in a hundred")
    window = window_of_rows(evidence, window)
    versions = (cheap, expensive)
    require_versions(versions, versions_of(evidence, window))
    matching, shares = evidence.matching(window), audits(evidence, versions)
    told = _Told(evidence, cheap, expensive, loss, window)
    if evidence.model.task is Task.GENERATION:
        return told.unknown("a grade is of the one answer that somebody got, and texts cannot be held for equal")
    if not any(share for _, share in shares) and count_passed_on(evidence, matching, versions):
        return told.unknown("a cascade passes on hard requests only: audit a share of the others (route.cascade.audit)")
    found = losses_of(query_pairs(evidence, matching, versions, shares))
    if not len(found.losses):
        return told.unknown(f"no request was answered by both: let {cheap} or {expensive} run in shadow of the other")
    if np.isnan(found.confidence).all():
        return told.unknown(f"{cheap} says of no answer how sure it is: record a score, or scores")
    return told.answer(found, tuned(found.confidence, found.losses, loss, found.unit), shares[-1][1])


@dataclass(frozen=True, slots=True)
class _Told:
    """The words and tables of the answer to one question.

    Attributes:
        evidence: The model's rows.
        cheap: The version that is asked first.
        expensive: The other one.
        loss: What is promised.
        window: Of the rows.
    """

    evidence: RowEvidence
    cheap: str
    expensive: str
    loss: float
    window: Window | None

    def unknown(self, why: str) -> Answer:
        """Answer that nothing can be said."""
        return self._answer(Verdict.UNKNOWN, f"cannot say: {why}", (), (why,), (Table("metrics", METRIC_COLUMNS, []),))

    def answer(self, found: Losses, choice: Tuned, audit: float) -> Answer:
        """Answer with a threshold, or with what it would take to find one."""
        metrics = _metrics(found, choice, audit)
        tables = (_metrics_table(metrics), _curve(found))
        promise = f"at most {number(self.loss, 'share')} more answers wrong than {self.expensive} alone"
        because = (self._basis(found), *self._window_words, _PROMISE, *_unit_words(found))
        if choice.at_least is not None:
            share, saving = metrics["cheap_share"], metrics["saving_ratio"]
            saved = f"saves {_percent(saving)} of its cost" if saving.value is not None else "for an unknown saving"
            is_dear = saving.high is not None and saving.high <= 0.0
            saved += ": it costs more than that alone" if is_dear else ""
            headline = (
                f"{_percent(share)} of requests by {self.cheap}, from a confidence of {choice.at_least:g} on:"
                f" {promise}, 95 % sure; {saved}"
            )
            route = (
                f"declare it: cascade: {{cheap: {self.cheap}, expensive: {self.expensive}, at_least:"
                f" {choice.at_least:g}, audit: {audit or _AUDIT:g}, loss: {self.loss:g}}}"
            )
            unknowns = (f"saving: {saving.unknown}",) if saving.value is None else ()
            verdict = Verdict.WARNING if is_dear else Verdict.OK
            return self._answer(verdict, headline, (*because, route), unknowns, tables)
        if choice.pairs_needed is None:
            headline = f"no answer of {self.cheap} may be taken: {promise} cannot be kept at any confidence"
            return self._answer(Verdict.BREACH, headline, because, (), tables)
        why = f"needs about {choice.pairs_needed:,} pairs, and there are {choice.pairs:,}"
        return self._answer(Verdict.UNKNOWN, f"cannot promise {promise}: {why}", because, (why,), tables)

    def _basis(self, found: Losses) -> str:
        pairs = f"{counted(len(found.losses), 'request')} that both answered"
        if len(_sizes(found)) < len(found.losses):
            pairs = (
                f"{counted(len(found.losses), 'request')} of {counted(len(_sizes(found)), 'unit')} that both answered"
            )
        if found.is_agreement:
            return f"{pairs}, of no known outcome: an answer that differs from {self.expensive}'s counts as lost"
        return f"{pairs} and whose outcome is known; as if it came the same whoever answers"

    @property
    def _window_words(self) -> tuple[str, ...]:
        zone = self.evidence.model.timezone
        return (f"{self.window.text(zone)} ({zone})",) if self.window else ()

    def _answer(
        self,
        verdict: Verdict,
        headline: str,
        because: tuple[str, ...],
        unknowns: tuple[str, ...],
        tables: tuple[Table, ...],
    ) -> Answer:
        model = self.evidence.model
        return Answer(
            question="cascade",
            model=model.name,
            verdict=verdict,
            headline=f"{model.name}: {headline}" if model.name else headline,
            because=(*because, *aside_lines(self.evidence)),
            unknowns=unknowns,
            as_of=self.evidence.as_of,
            zone=model.timezone,
            tables=tables,
        )


_AUDIT = 0.02
_PROMISE = (
    "a promise for requests like these, and for one choice: tried from the safest threshold down until one failed"
)


def _unit_words(found: Losses) -> tuple[str, ...]:
    """Return how units are counted; nothing where each has one request."""
    most = int(_sizes(found).max())
    if most == 1:
        return ()
    return (
        f"a unit is evidence once, weighed by its requests; as if none to come had more than the {most} of one here",
    )


def _sizes(found: Losses) -> IntArray:
    """Return how many requests each unit has."""
    return np.unique(found.unit, return_counts=True)[1]


def _percent(metric: Metric) -> str:
    return Metric("", metric.value, metric.low, metric.high, "share", "none", 0).text()


def _metrics(found: Losses, choice: Tuned, audit: float) -> dict[str, Metric]:
    """Return the threshold, and what taking cheap answers from it on would do."""
    threshold, rows = choice.at_least, len(found.losses)
    if threshold is None:
        why = "no threshold is known to keep the promise"
        names = (("at_least", "ratio"), ("cheap_share", "ratio"), ("loss", "ratio"), ("saving_usd", "usd"),
                 ("saving_ratio", "ratio"))  # fmt: skip
        return {name: Metric(name, None, None, None, unit, "none", rows, why) for name, unit in names}
    taken = found.confidence >= threshold
    saved, cost = taken * (1.0 - audit) * found.cost - found.cheap_cost, found.cost
    unpriced = int(np.count_nonzero(np.isnan(saved)))
    unknown = f"{number(unpriced / rows, 'share')} of {counted(rows, 'pair')} have no known price"
    each = Estimate.unknown(unknown) if unpriced else _mean(saved, found)
    share = each if unpriced else _ratio(saved, cost, found)
    effective = effective_size(rows, float(np.square(_sizes(found)).sum()))
    estimates = {
        "at_least": (Estimate(threshold, None, None), "ratio"),
        "cheap_share": (wilson(float(np.count_nonzero(taken)), rows, effective), "ratio"),
        "loss": (_mean(np.where(taken, found.losses, 0.0), found), "ratio"),
        "saving_usd": (each, "usd"),
        "saving_ratio": (share, "ratio"),
    }
    return {name: Metric(name, e.value, e.low, e.high, u, "none", rows, e.reason) for name, (e, u) in estimates.items()}


def _mean(values: FloatArray, found: Losses) -> Estimate:
    return _ratio(values, np.ones(len(values)), found)


def _ratio(values: FloatArray, others: FloatArray, found: Losses) -> Estimate:
    """Return the sum of values over that of others, with an interval by which a unit is evidence once."""
    _, place = np.unique(found.unit, return_inverse=True)
    x, y = np.bincount(place, values), np.bincount(place, others)
    return ratio_of_means(
        len(x), float(x.sum()), float(y.sum()), sum_xx=float(x @ x), sum_yy=float(y @ y), sum_xy=float(x @ y)
    )


def _metrics_table(metrics: dict[str, Metric]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (m.name, m.value, m.low, m.high, m.unit, m.rows, m.unknown or None) for m in metrics.values()
    ]
    return Table("metrics", METRIC_COLUMNS, rows)


def _curve(found: Losses) -> Table:
    """Return what is lost at some shares of cheap answers; each interval is for itself."""
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    taken = np.array([np.count_nonzero(found.confidence >= threshold) for threshold in THRESHOLDS])
    for wanted in _SHOWN_SHARES:
        place = int(np.argmin(np.abs(taken - wanted * len(found.losses))))
        threshold, share = THRESHOLDS[place], float(taken[place]) / len(found.losses)
        lost = _mean(np.where(found.confidence >= threshold, found.losses, 0.0), found)
        if rows and rows[-1][0] == threshold:
            continue
        rows.append((threshold, share, lost.value, lost.low, lost.high))
        words = Metric("", lost.value, lost.low, lost.high, "share", "lower", 0, lost.reason).text()
        lines.append((f"{threshold:g}", number(share, "share"), words))
    return Table("curve", CURVE_COLUMNS, rows, ("from a confidence of", "cheap", "lost, each for itself"), lines)
