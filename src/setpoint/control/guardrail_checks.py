"""The check of guardrails: a crossing is a finding from when it is seen until the value is well."""

from __future__ import annotations

from setpoint.control.episode import Episode
from setpoint.control.guarded import Reading, line_text, read_each
from setpoint.core.finding import GUARDRAIL
from setpoint.core.guardrail import Guardrail
from setpoint.store.evidence import RowEvidence


def crossed_guardrails(evidence: RowEvidence, now: int) -> list[Episode]:
    """Guardrails on a metric that is beyond its red line by more than chance explains; over when the value is well."""
    begun = {one.subject: one for one in evidence.open_findings() if one.kind == GUARDRAIL}
    found: list[Episode] = []
    metrics = [one for one in evidence.model.guardrails if not one.finding]
    for guardrail, reading in (read for one in metrics for read in read_each(evidence, one, now)):
        before = begun.get(guardrail.name)
        if before is None and not reading.is_crossed:
            continue
        # Nothing heard is nothing mended: without a value it goes on.
        is_over = before is not None and reading.is_well and not reading.is_crossed
        found.append(
            Episode(
                GUARDRAIL,
                "",
                guardrail.name,
                before.started_at if before else min(reading.since, now),
                now if is_over else None,
                "breach",
                before.said if before else _said(guardrail, reading),
                {"value": reading.metric.value, "red_line": guardrail.red_line},
                noticed_at=before.recorded_at if before else now,
            )
        )
    return found


def _said(guardrail: Guardrail, reading: Reading) -> str:
    return f"{guardrail.subject} is {reading.said}, {line_text(guardrail, reading.metric)}"
