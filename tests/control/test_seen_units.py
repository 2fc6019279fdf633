"""What a rollout has seen is the same from a file of hashes as from all rows since its start."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.control.served import OWNED, RULES, Service

from setpoint.control.rollout_looks import step_starts
from setpoint.control.rollouts import override
from setpoint.core.clock import HOUR
from setpoint.core.rollout import RedLine, Rollout
from setpoint.core.window import Window
from setpoint.project.rollouts import start_rollout
from setpoint.store.arms import units_of
from setpoint.store.drawn import asked, draw, errors_by_minute, seen_file, shared_out
from setpoint.store.engines.duck import rows
from setpoint.store.kept import KeptEvidence
from setpoint.store.rollouts import events_of, rollouts_of

LONG = replace(
    RULES,
    steps=(0.1, 0.3, 0.5),
    soak=2 * HOUR,
    last_soak=20 * HOUR,
    warm_up=HOUR // 4,
    outcome_age=3 * HOUR,
    red_lines=(RedLine("error_ratio", 4.0), RedLine("wrong_ratio", 4.0)),
)


def told(service: Service, rollout: Rollout, kept: Path | None) -> tuple[list[object], int]:
    """Return all that is asked about a rollout, and how many rows were read for it."""
    events, now = events_of(service.layout, rollout.rollout_id), service.now
    starts = {step: at + LONG.warm_up for step, at in step_starts(rollout, events).items()}
    found: list[object] = []
    with closing(KeptEvidence(service.layout, service.layout.model("m"), now, now, None)) as evidence:
        draw(evidence, rollout, starts=starts, marks=[one.at for one in events], kept=kept)
        found += [shared_out(evidence, rollout.started_at), shared_out(evidence, events[-1].at)]
        found += [asked(evidence, one.at) for one in events]
        found += [errors_by_minute(evidence, "v1", now - HOUR)]
        for step in starts:
            for back in (0, LONG.outcome_age):
                window = Window(now - back - 2 * HOUR, now - back)
                units = units_of(evidence, rollout, step, window, within=back or None)
                found += [units.is_candidate.tolist(), units.stratum.tolist(), np.nan_to_num(units.is_wrong).tolist()]
        return found, int(str(rows(evidence.connection, "SELECT count(*) FROM drawn")[0][0]))


def test_a_file_of_hashes_says_the_same_as_all_rows(tmp_path: Path) -> None:
    service = Service(tmp_path / "s", replace(OWNED, rollout=LONG), rate=20)
    service.serve(30, outcomes=True)
    start_rollout(service.folder, "m", "v2")
    service.look()
    (rollout,) = rollouts_of(service.layout, "m")
    kept = seen_file(service.layout, rollout)
    shares: list[float] = []
    for half_hour in range(22):
        service.serve(30, units=400, outcomes=True)
        service.look()
        if half_hour == 9:
            override(service.layout, "m", "pause", actor="ada")
        if half_hour == 11:
            override(service.layout, "m", "resume", actor="ada")
        if half_hour % 4 == 3:
            by_file, read = told(service, rollout, kept if kept.exists() else None)
            by_rows, all_of_them = told(service, rollout, None)
            assert by_file == by_rows
            shares.append(read / all_of_them)
    assert shares[0] == 1.0
    assert shares[-1] < 1.0 / 3.0
    assert b"unit-" not in kept.read_bytes()
    kept.unlink()  # it is made again
    service.look()
    assert told(service, rollout, kept)[0] == told(service, rollout, None)[0]
