"""The rates of proxies as metrics: how often a click or a complaint came, and how many still will."""

from __future__ import annotations

from dataclasses import dataclass

from setpoint.core.clock import DAY
from setpoint.core.errors import UsageError
from setpoint.core.metric import Metric, number
from setpoint.core.model import Expectation
from setpoint.core.window import Window
from setpoint.feedback.delay import PART, completeness, delay
from setpoint.feedback.proxies import rate
from setpoint.store.evidence import RowEvidence

_LEARNED = 28 * DAY


@dataclass(frozen=True, slots=True)
class ProxyRate:
    """The rate of one kind of outcome that is not final.

    Attributes:
        metric: The share of all predictions of which it says yes, such as `complaint_rate`.
        complete: Which part of what ever comes has come, 0 to 1; None when nobody knows.
    """

    metric: Metric
    complete: float | None

    @property
    def completeness(self) -> Metric:
        """How complete it is, as a metric."""
        why = "" if self.complete is not None else "too few came to know how long they take"
        name = f"{self.metric.name.removesuffix('_rate')}_complete_ratio"
        return Metric(name, self.complete, None, None, "share", "higher", self.metric.rows, why)

    def still_coming(self, bar: Expectation) -> str:
        """Return why a rate below its bar may only be young, in words; a rate above its bar falls no more."""
        if bar.at_least is None or self.metric.value is None or self.metric.value >= bar.at_least:
            return ""
        if self.complete is None:
            return "too few came to know whether more will"
        return "" if self.complete >= PART else f"only {number(self.complete, 'share')} of those that come have come"


def proxy_rates(evidence: RowEvidence, window: Window | None) -> list[ProxyRate]:
    """Return the rate of each proxy in a window; a file has none, and a judge's grades are no rate of anything.

    How long outcomes take is learned from the window and four weeks before it, so that a source that has fallen silent
    is not taken for one that is young.
    """
    window = window or evidence.span
    proxies = [kind for kind in evidence.model.outcomes if not (kind.final or kind.judge)]
    if not (evidence.is_recorded and proxies and window):
        return []
    as_of, zone = evidence.as_of, evidence.model.timezone
    state = evidence.arrivals(window)
    days = evidence.arrivals_by_day(window)
    try:
        before = evidence.arrivals_by_day(Window(window.start - _LEARNED, window.start))
    except UsageError:  # rows of these days were let go
        before = []
    found: list[ProxyRate] = []
    for kind in proxies:
        known = delay([*before, *days], kind.name, as_of=as_of, zone=zone)
        weights = [(midnight, part.only(kind=kind.name).total("weight")) for midnight, part in days]
        found.append(ProxyRate(rate(state, kind), completeness(known, weights, as_of=as_of, zone=zone)))
    return found
