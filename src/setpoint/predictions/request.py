"""A request to an endpoint: what was drawn for it, and to whom else it goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec

from setpoint.core.route_plan import BUCKETS, Arm, RoutePlan, bucket, shadows_of
from setpoint.predictions.details import RequestDetails


class Request(msgspec.Struct, gc=False):
    """One request, and what was drawn for it.

    Attributes:
        plan: The plan that it is answered by, whatever is published meanwhile.
        prediction_id: Under which it is recorded.
        unit: What is randomised, as text; None when each request is drawn on its own.
        drawn: What its buckets are drawn by: its unit, or itself when it has none.
        details: What the caller said of it.
        arm: The version that is to answer.
        at: When it came, microseconds.
        started: The same by the performance counter.
        billed_to: The row that a bill which comes too late belongs to; its own when empty.
    """

    plan: RoutePlan
    prediction_id: str
    unit: str | None
    drawn: str
    details: RequestDetails
    arm: Arm
    at: int
    started: float
    billed_to: str = ""

    def passed_on(self) -> RequestDetails:
        """Return what an endpoint that is asked as a version is told; its rows share a trace with the one that asks."""
        if self.details.get("trace_id") is None:
            self.details["trace_id"] = self.prediction_id
        passed = {name: value for name, value in self.details.items() if name in _PASSED_ON}
        return cast("RequestDetails", passed)

    def copied_to(self, served: str) -> Iterator[str]:
        """Yield the versions that it is also sent to in shadow, given which one answered it."""
        for version in shadows_of(self.plan, self.drawn):
            if version != served:
                yield version
        cascade = self.plan.route.cascade
        if cascade is not None and self._is_audited(cascade.audit):
            if served == cascade.cheap:
                yield cascade.expensive
            elif cascade.threshold is None:  # or nobody would ever know whether the cheap one is good enough again
                yield cascade.cheap

    def _is_audited(self, share: float) -> bool:
        """Return whether it is among those whose cheap answer the expensive version is held against."""
        return share > 0.0 and bucket(self.plan.salted, self.prediction_id) < share * BUCKETS


_PASSED_ON = {"feature_version", "key", "run_id", "source", "trace_id", "unit"}
