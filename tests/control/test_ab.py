"""A rollout that is a test: read out on the business metric, while red lines hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.control.served import MINUTE, OWNED, RULES, Service

from setpoint.control.readouts import readout_of, sequence_of
from setpoint.control.rollouts import Moved, override
from setpoint.core.errors import DeclarationError, UsageError
from setpoint.core.model import BusinessMetric, Model
from setpoint.core.rollout import AbRules, Rollout
from setpoint.core.route_plan import Route
from setpoint.declare.load import load_project
from setpoint.predictions.recorder import Recorder
from setpoint.project.plan import plan
from setpoint.project.rollouts import explain, start_rollout, status_of
from setpoint.store.decisions import decisions_of
from setpoint.store.rollouts import events_of
from setpoint.store.route_file import last_plan
from setpoint.store.spool import Spool
from setpoint.testing import Behaviour

AB = AbRules("success", smallest=0.05)


def as_test(ab: AbRules, metric: BusinessMetric | None = None) -> Model:
    rules = replace(RULES, steps=(0.5,), soak=0, last_soak=2 * MINUTE, outcome_age=MINUTE, ab=ab)
    return replace(OWNED, rollout=rules, business_metric=metric or BusinessMetric("right_answers"))


def served(folder: Path, ab: AbRules, candidate: Behaviour, metric: BusinessMetric | None = None) -> Service:
    versions = {"v1": Behaviour(wrong=0.2, worth_usd=10.0), "v2": candidate}
    service = Service(folder, as_test(ab, metric), versions)
    service.serve(1, outcomes=True)
    start_rollout(service.folder, "m", "v2")
    service.look()
    return service


def until_over(service: Service, looks: int = 15) -> Moved:
    moved = None
    for _ in range(looks):
        service.serve(1, outcomes=True)
        found = service.look()
        if found is None:
            break
        moved = found
    assert moved is not None
    return moved


def test_kserve_335_the_better_version_is_read_out_and_the_stable_one_stays(tmp_path: Path) -> None:
    service = served(tmp_path / "s", AB, Behaviour(wrong=0.1))
    published = last_plan(service.layout, "m")
    assert published is not None
    assert published.route.strategy == "ab"
    moved = until_over(service)
    assert (moved.decision.action, moved.decision.rule) == ("read_out", "readout")
    assert moved.decision.said.startswith("B: v2 is better than v1 in right_answers: v2 has +0.")
    assert moved.decision.numbers["readout"] == "B"
    assert set(moved.decision.alternatives) == {"promote"}
    published = last_plan(service.layout, "m")
    assert published is not None
    assert published.route.shares == (("v1", 1.0),)
    told = status_of(service.folder, "m")
    assert told.exit_code == 0
    row = dict(zip(told.table("readout").columns, told.table("readout").rows[0], strict=True))
    assert (row["metric"], row["readout"], row["smallest"]) == ("right_answers", "B", 0.05)
    assert row["known_ratio_candidate"] == 1.0
    assert isinstance(row["low"], float)
    assert row["low"] > 0.0
    assert "readout" in explain(service.folder, "m").headline


def test_a_better_candidate_is_promoted_when_that_is_declared_and_no_red_line_is_in_doubt(tmp_path: Path) -> None:
    ab = AbRules("value_usd", (0.0, 10.0), at_readout="promote")
    candidate = Behaviour(wrong=0.1, worth_usd=10.0)
    service = served(tmp_path / "s", ab, candidate, BusinessMetric("revenue_usd"))
    moved = until_over(service)
    assert (moved.decision.action, moved.rollout.business_metric) == ("finish", "revenue_usd")
    told = [one.decision for one in decisions_of(service.layout, subject="m/v2/1")]
    assert [(one.action, one.rule) for one in told][-2] == ("promote", "readout")


def test_less_is_better_when_that_is_declared(tmp_path: Path) -> None:
    service = served(tmp_path / "s", AB, Behaviour(wrong=0.1), BusinessMetric("right_answers", better="lower"))
    assert until_over(service).decision.said.startswith("A: v1 is better than v2")


@pytest.mark.parametrize(("smallest", "says"), [(0.05, "no difference"), (None, "not yet")])
def test_no_difference_takes_a_smallest_one_that_matters(tmp_path: Path, smallest: float | None, says: str) -> None:
    service = served(tmp_path / "s", replace(AB, smallest=smallest), Behaviour(wrong=0.2))
    moved = until_over(service)
    assert moved.decision.said.removeprefix("nothing is found against v2; ").startswith(f"{says}: ")
    assert (moved.decision.action == "read_out") == (says == "no difference")
    assert status_of(service.folder, "m").exit_code == (0 if says == "no difference" else 3)


def test_red_lines_hold_during_a_test(tmp_path: Path) -> None:
    service = served(tmp_path / "s", AB, Behaviour(wrong=0.1, errors=0.1))
    assert until_over(service).decision.rule == "red_line"


@pytest.mark.parametrize("both", [False, True])
def test_units_not_shared_out_as_meant_make_it_unknown_for_good(tmp_path: Path, *, both: bool) -> None:
    service = served(tmp_path / "s", AB, Behaviour(wrong=0.1))
    recorder = Recorder(service.layout, "m", spool=Spool(service.layout))
    for n in range(2 if both else 2000):  # one unit on both sides, or a service that draws otherwise than it says
        is_candidate = n % 2 == 0 if both else n % 10 < 4
        recorder.record(
            {"x": 1.0},
            version="v2" if is_candidate else "v1",
            role="candidate" if is_candidate else "stable",
            unit="other" if both else f"other-{n}",
            predicted_at=service.now,
            assignment_probability=0.5,
        )
    recorder.close()
    service.wait(MINUTE)
    service.look()
    why = "1 of 1 units were answered by both versions" if both else "the candidate got 800 of 2,000 units"
    assert events_of(service.layout, "m/v2/1")[-1].cause == "mismatch"
    override(service.layout, "m", "resume", actor="ada")
    moved = until_over(service, looks=6)
    assert moved.decision.action == "stay"
    row = status_of(service.folder, "m").table("readout").rows[0]
    assert row[1] == "unknown"
    assert why in status_of(service.folder, "m").unknowns[0]


def test_a_test_that_nothing_feeds_is_refused(tmp_path: Path) -> None:
    ab = AbRules("value_usd", (0.0, 10.0))
    service = Service(tmp_path / "s", as_test(ab))
    with pytest.raises(UsageError, match="says its value_usd"):
        start_rollout(service.folder, "m", "v2")
    service.layout.declare(replace(as_test(ab), business_metric=None))
    with pytest.raises(UsageError, match="on the business metric"):
        start_rollout(service.folder, "m", "v2")


def declared(folder: Path, ab: str) -> Path:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "setpoint.yaml").write_text("store: ./s\n")
    text = f"business_metric: {{name: revenue_usd}}\nrollout:\n  red_lines: {{error_ratio: 2}}\n  ab: {ab}\n"
    (folder / "models" / "m.yaml").write_text(text)
    return folder


def test_plan_says_that_nothing_feeds_a_test(tmp_path: Path) -> None:
    Service(tmp_path / "s").serve(1, outcomes=True)
    with pytest.raises(DeclarationError, match="says its value_usd"):
        plan(declared(tmp_path, "{value: value_usd, between: [0, 10]}")).check()
    plan(declared(tmp_path, "{value: success}")).check()
    rules = load_project(tmp_path).models["m"].rollout
    assert rules is not None
    assert rules.ab == AbRules("success")


@pytest.mark.parametrize(
    ("ab", "said"),
    [
        ("{value: value_usd}", "without the least and the largest value"),
        ("{value: success, between: [1, 0]}", "expected two that rise"),
        ("{value: success, smallest: 2}", "expected one above 0 and below 1"),
    ],
)
def test_a_test_that_cannot_be_is_refused(tmp_path: Path, ab: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        load_project(declared(tmp_path, ab))


def test_of_equal_versions_a_winner_is_rarely_named_and_the_interval_holds_however_often_one_looks() -> None:
    ab = AbRules("success", smallest=0.02)
    route = Route("single", (("v1", 1.0),), "v1")
    rollout = Rollout("r", "m", "v1", "v2", replace(RULES, ab=ab), {}, route, 0, "conversion")
    rng, winners, missed = np.random.default_rng(5), 0, 0
    for _ in range(60):
        sequence, says, misses = sequence_of(ab), set[str](), False
        for _ in range(40):
            is_candidate = rng.random(100) < 0.5
            sequence.update((rng.random(100) < 0.1).astype(float), is_candidate, 0.5)
            found = readout_of(rollout, sequence, [], "")
            assert found is not None
            says.add(found.says)
            low, high = found.difference.low, found.difference.high
            misses |= low is None or high is None or not low <= 0.0 <= high
        winners += bool(says & {"A", "B"})
        missed += misses
    assert winners <= 3
    assert missed <= 3
