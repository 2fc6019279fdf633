"""How much was asked of each value of a cohort, how fast, and how often it failed: counted from rows.

Tallies count every prediction and know no cohort, so here kept rows stand for those that were not kept.
"""

from __future__ import annotations

from setpoint.core.clock import MICROS, QUARTER_HOUR
from setpoint.core.window import Window
from setpoint.store.engines.duck import at, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.measures import bucketed
from setpoint.store.primitives import latency_bin, printed, weight
from setpoint.store.states import StateKind, StateTable

COHORT_TRAFFIC = StateKind("cohort_traffic", ("bucket", "cohort_value", "measure", "bin"), ("amount",))


def cohort_traffic(evidence: RowEvidence, cohort: str, window: Window) -> StateTable:
    """Return requests, errors, violations and latencies of a window by quarter of an hour and value of a cohort.

    Rows count by how many each stands for, times the smallest probability with which one of their value was kept. That
    leaves every ratio as it is, and a bet on the counts as sure as it says: 1 + p λ x ≥ (1 + λ x) ** p for 0 ≤ p ≤ 1
    (Bernoulli), so that p of a row wins no more than a row that is kept with that probability.

    Args:
        evidence: The event log.
        cohort: A declared one, `version` or `endpoint`.
        window: Predictions of this window; shadow rows and stages of a request are none.
    """
    found = rows(
        evidence.connection,
        f"WITH counted AS MATERIALIZED (SELECT {bucketed('predicted_at', QUARTER_HOUR // MICROS)} AS bucket,"
        f" CAST({evidence.cohorts[cohort]} AS VARCHAR) AS v, error IS NOT NULL AS has_error,"
        " contract_violations IS NOT NULL AS is_violation, CASE WHEN latency_seconds IS NOT NULL THEN"
        f" {printed(latency_bin('latency_seconds'))} END AS bin, {printed(weight())} AS w"
        f" FROM predictions AS p WHERE parent_id IS NULL AND predicted_at >= {at(window.start)}"
        f" AND predicted_at < {at(window.end)}),"
        " scaled AS (SELECT *, w / max(w) OVER (PARTITION BY v) AS n FROM counted)"
        " SELECT bucket, v, 'requests', 0, sum(n) FROM scaled GROUP BY ALL"
        " UNION ALL SELECT bucket, v, 'errors', 0, sum(n) FROM scaled WHERE has_error GROUP BY ALL"
        " UNION ALL SELECT bucket, v, 'violations', 0, sum(n) FROM scaled WHERE is_violation GROUP BY ALL"
        " UNION ALL SELECT bucket, v, 'latency', bin, sum(n) FROM scaled WHERE bin IS NOT NULL GROUP BY ALL",
    )
    return StateTable.of(COHORT_TRAFFIC, found)
