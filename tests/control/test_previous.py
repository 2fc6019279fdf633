"""What is to be done about a cause depends on whether the version before is hit too: on the same requests, or hours."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import numpy as np
import pytest

from setpoint.control.route_plans import publish
from setpoint.core.clock import HOUR
from setpoint.core.model import Model
from setpoint.core.route_plan import Route
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

START = 1_780_000_000_000_000 // HOUR * HOUR
HOURS, TURN, PER_HOUR = 20, 12, 300
How = Literal["shadow", "beside", "gone"]


def moderated(folder: Path, how: How, *, hits: tuple[str, ...], version: bool = False) -> str:
    """Record a moderation whose normaliser upper-cases a tenth of the posts since the 12th hour; return what why says.

    Args:
        folder: The store.
        how: Whether the version before is asked in shadow, answers half of the posts, or none since the 12th hour.
        hits: The versions that flag such a post.
        version: Whether it is no normaliser but the new version that flags a tenth, since it answers.
    """
    layout = Layout.create(folder, replay_now=START)
    layout.declare(Model("m"))
    shares = (("v2", 0.5), ("v1", 0.5)) if how == "beside" else (("v2", 1.0),)
    shadows = (("v1", 1.0),) if how == "shadow" else ()
    strategy = {"beside": "ab", "shadow": "shadow", "gone": "single"}[how]
    publish(layout, "m", Route(cast("Literal['ab']", strategy), shares, "v2", shadows=shadows))
    recorder, rng = Recorder(layout, "m", spool=Spool(layout)), np.random.default_rng(1)
    clock = cast("ReplayClock", layout.clock)
    for n in range(HOURS * PER_HOUR):
        at = START + n * HOUR // PER_HOUR
        clock.set(at)
        is_on = n >= TURN * PER_HOUR
        is_hit, luck = is_on and rng.random() < 0.1, rng.random()
        answering = "v2" if how != "beside" or n % 2 else "v1"
        if (how == "gone" or version) and not is_on:
            answering = "v1"
        inputs = {"upper_ratio": 0.9 if is_hit and not version else 0.05 + 0.1 * rng.random()}
        source = "normaliser-2" if is_hit and not version else "normaliser-1"
        name = ""
        for one in (answering, *(["v1"] if how == "shadow" and answering != "v1" else [])):
            is_flagged = luck < 0.004 or (is_hit and one in hits)
            name = recorder.record(
                inputs,
                prediction=float(is_flagged),
                score=0.9 if is_flagged else 0.1,
                version=one,
                role="shadow" if name else "stable",
                root_id=name or None,
                parent_id=name or None,
                source=source,
                predicted_at=at,
            )
    recorder.close()
    clock.set(START + HOURS * HOUR)
    clock.save()
    with open_log(folder) as log:
        answer = log.why("m", "flagged_ratio", current=f"{(HOURS - TURN)}h", reference=None)
    return answer.because[0]


@pytest.mark.parametrize("how", ["shadow", "beside"])
def test_both_are_hit_so_the_pipeline_is_mended(tmp_path: Path, how: How) -> None:
    said = moderated(tmp_path / "s", how, hits=("v1", "v2"))
    assert said.startswith("hotfix: the previous version is hit equally: both versions are hit: v")
    assert said.count("] → 0.1") == 2
    assert (" on the same 2,400 requests" in said) == (how == "shadow")
    assert (" in the same hours" in said) == (how == "beside")
    assert "no rollback helps" in said


def test_one_is_hit_so_the_version_before_would_do_meanwhile(tmp_path: Path) -> None:
    said = moderated(tmp_path / "s", "shadow", hits=("v2",))
    assert said.startswith("hotfix: mend what changed; until then v1 would do, for v2 alone is hit: v2 0.00")


def test_what_cannot_be_looked_at_is_not_checked(tmp_path: Path) -> None:
    said = moderated(tmp_path / "s", "gone", hits=("v2",), version=True)
    assert said == "investigate: there is nothing to go back to: the route keeps v1 ready no more"


def test_a_version_is_gone_back_from_when_it_alone_is_hit(tmp_path: Path) -> None:
    said = moderated(tmp_path / "s", "shadow", hits=("v2",), version=True)
    assert said.startswith("rollback: v1 can answer at once; v2 alone is hit: v2 0.00")


def test_no_rollback_is_said_to_help_when_the_version_before_is_hit_too(tmp_path: Path) -> None:
    said = moderated(tmp_path / "s", "shadow", hits=("v1", "v2"), version=True)
    assert said.startswith("hotfix: going back to v1 does not help: both versions are hit")
