"""Is the true cause named first, over faults of twenty kinds? Prints the shares, and what was named without a fault.

Two severities of each, one of them with a harmless change at the same time; seeds from 200 on, which nothing was
tuned on. Run: .venv/bin/python bench/causes.py [SEEDS]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from setpoint.control.causes import causes_of
from setpoint.core.cause import Cause, CauseKind
from setpoint.core.clock import DAY
from setpoint.core.window import Window
from setpoint.store.kept import KeptEvidence
from setpoint.testing import temporary_store
from setpoint.testing.faults import FAULTS, METRIC_OF, START, Fault, Scenario, record_fault

# What a fault is called as a cause, where that is another name.
CAUSE_OF: dict[Fault, CauseKind] = {
    "unit": "unit_changed",
    "cache": "cache_broken",
    "threshold": "threshold_changed",
}
SEVERITIES = ((0.3, True), (0.6, False))
METRICS = ("accuracy", "cost_per_prediction_usd", "latency_p95_seconds", "outcome_ratio")


def named(scenario: Scenario, metrics: Sequence[str]) -> list[Cause]:
    """Return the causes that are named for a scenario."""
    with temporary_store(replay_now=START) as (layout, _):
        record_fault(layout, scenario)
        now = layout.clock.now()
        evidence = KeptEvidence(layout, layout.model("m"), now, now, None)
        try:
            return causes_of(evidence, metrics, Window(START - 7 * DAY, now))[1]  # as of an incident
        finally:
            evidence.close()


def main() -> None:
    """Print the table."""
    seeds = range(200, 200 + int(sys.argv[1]) if len(sys.argv) > 1 else 201)
    places: list[int] = []
    for fault in FAULTS[1:]:
        for severity, harmless in SEVERITIES:
            for seed in seeds:
                metrics = (METRIC_OF.get(fault, "accuracy"),)
                found = [one.kind for one in named(Scenario(fault, severity, harmless, seed=seed), metrics)]
                true = CAUSE_OF.get(fault, fault.replace(" ", "_"))
                places.append(found.index(true) + 1 if true in found else 0)
                if places[-1] != 1:
                    print(f"{fault} {severity} seed {seed}: place {places[-1] or 'none'} of {found[:4]}")
    print(f"{len(places)} faults: first {sum(p == 1 for p in places) / len(places):.3f} (target 0.80),", end=" ")
    print(f"in the top three {sum(1 <= p <= 3 for p in places) / len(places):.3f} (target 0.95)")  # noqa: PLR2004 — three
    off = [bool(named(Scenario("none", harmless=n % 2 == 0, seed=500 + n), METRICS)) for n in range(20 * len(seeds))]
    print(f"fault off: a cause named in {sum(off)} of {len(off)}")


if __name__ == "__main__":
    main()
