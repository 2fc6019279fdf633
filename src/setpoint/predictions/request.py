"""A request to an endpoint: what was drawn for it, and to whom else it goes."""

from __future__ import annotations

from typing import cast

import msgspec

from setpoint.core.route_plan import Arm, RoutePlan
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


_PASSED_ON = {"feature_version", "key", "run_id", "source", "trace_id", "unit"}
