"""The table of estimates that `status` shows while outcomes are still to come."""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.answers.answer import Cell, Table
from setpoint.core.finding import MOVED
from setpoint.core.metric import Metric
from setpoint.core.window import Window
from setpoint.feedback.estimates import estimates
from setpoint.feedback.quality import Arrival, headline
from setpoint.feedback.weighted_estimates import weighted_estimates
from setpoint.store.evidence import RowEvidence

ENOUGH = 0.5
"""Share of outcomes that have arrived from which on nothing is estimated."""

ESTIMATE_COLUMNS = (
    "metric", "value", "low", "high", "unit", "better", "outcomes_learned_from", "assumes", "unknown",
)  # fmt: skip


def estimate_tables(
    evidence: RowEvidence, window: Window | None, known: Arrival, metrics: Sequence[Metric]
) -> list[Table]:
    """Return the estimated quality of a window, which decides nothing; empty when outcomes say enough.

    Where a finding says that inputs moved, also the estimate from rows that are weighted to look like the window's.

    Args:
        evidence: The model's states.
        window: The window in question.
        known: How complete its outcomes are.
        metrics: Its measured quality.
    """
    first = next((metric for metric in metrics if metric.name == headline(evidence.model)), None)
    is_measured = (known.share or 0.0) >= ENOUGH and not (first is not None and first.unknown.startswith("needs "))
    if is_measured or not known.predictions:
        return []
    found = estimates(evidence, window)
    if not found.metrics:
        return []  # nothing that a ranking or a text comes with says how good it is
    tables = [_table("estimates", found.metrics, found.assumed)]
    if window is not None and any(finding.kind in MOVED for finding in evidence.open_findings()):
        assumed = f"{found.assumed}, whose rows are weighted to look like these"
        tables.append(_table("weighted_estimates", weighted_estimates(evidence, window).metrics, assumed))
    return tables


def _table(name: str, metrics: Sequence[Metric], assumed: str) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (m.name, m.value, m.low, m.high, m.unit, m.better, m.rows, assumed, m.unknown or None) for m in metrics
    ]
    lines = [(metric.name, metric.text()) for metric in metrics if metric.value is not None]
    if not lines:
        lines = [(metrics[0].name, metrics[0].text())]
    return Table(name, ESTIMATE_COLUMNS, rows, ("before outcomes", f"95 % interval; {assumed}"), lines)
