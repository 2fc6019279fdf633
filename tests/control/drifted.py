"""A store in which an input drifted slowly, some days after another pipeline came."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import cast

from tests.control.served import OWNED, START

from setpoint.core.clock import DAY, HOUR
from setpoint.core.finding import Finding
from setpoint.core.incident import Incident
from setpoint.predictions.recorder import Recorder
from setpoint.store.findings import write_findings
from setpoint.store.layout import Layout, ReplayClock


def slow_drift(folder: Path, *, days: int) -> tuple[Layout, Incident]:
    """Return the store and its incident: it took so many days to be seen, and the pipeline came a week before."""
    layout = Layout.create(folder, replay_now=START)
    layout.declare(OWNED)
    clock = cast("ReplayClock", layout.clock)
    with closing(Recorder(layout, OWNED.name, version="v1")) as recorder:
        for hour in range(0, 20 * 24, 6):
            clock.set(START + hour * HOUR)
            pipeline = "normaliser-8" if hour >= 12 * 24 else "normaliser-7"
            recorder.record({"x": 1.0}, source="web", feature_version=pipeline)
    clock.save()
    began = START + 19 * DAY
    drift = Finding(
        model=OWNED.name, kind="input_drift", cause="", subject="x", started_at=began, ended_at=None,
        severity="warning", state="open", said="x drifted", evidence=f'{{"days": {days}}}',
        recorded_at=began, revision=0,
    )  # fmt: skip
    with layout.lease("ship"):
        write_findings(layout, OWNED.name, [drift], kinds=(), now=began)
    incident = Incident("1-m", (OWNED.name,), "input_drift", "x", "x drifted", "ticket", began, began, "input_drift")
    return layout, incident
