"""Causes: a fault with a known begin is named first, also when something harmless changes then; without one none is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import pytest
from tests.commands import setpoint
from tests.control.drifted import slow_drift
from tests.control.served import MINUTE, OWNED, Service

from setpoint.control.causes import causes_of
from setpoint.control.incidents import update_incidents
from setpoint.control.route_plans import publish
from setpoint.control.symptoms import metrics_of
from setpoint.core.cause import Cause, CauseKind, ranked
from setpoint.core.clock import HOUR
from setpoint.core.decision import Decision, Recorded
from setpoint.core.incident import Alert, Incident, IncidentEvent, IncidentState
from setpoint.core.model import Feature, Model
from setpoint.core.route_plan import Route
from setpoint.core.window import Window
from setpoint.predictions.recorder import Recorder
from setpoint.project.causes import explain_incident
from setpoint.project.incidents import report
from setpoint.store.decisions import record_decision
from setpoint.store.incidents import open_incident
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout, ReplayClock
from setpoint.testing.faults import METRIC_OF, START, Fault, Scenario, record_fault

NAMED: dict[Fault, CauseKind] = {
    "contract break": "contract_break",
    "unit": "unit_changed",
    "columns swapped": "columns_swapped",
    "model version": "model_version",
    "cohort": "cohort",
    "price": "price",
    "retries": "retries",
    "threshold": "threshold_changed",
    "traffic mix": "traffic_mix",
    "outcome delay": "outcome_delay",
}


def found(folder: Path, scenario: Scenario) -> tuple[Layout, list[Cause]]:
    layout = Layout.create(folder, replay_now=START)
    record_fault(layout, scenario)
    now = layout.clock.now()
    evidence = KeptEvidence(layout, layout.model("m"), now, now, None)
    try:
        _, causes = causes_of(evidence, (METRIC_OF.get(scenario.fault, "accuracy"),), Window(START, now))
    finally:
        evidence.close()
    return layout, causes


@pytest.mark.parametrize("fault", NAMED)
def test_a_fault_is_named_first_beside_a_harmless_change(tmp_path: Path, fault: Fault) -> None:
    _, causes = found(tmp_path / "s", Scenario(fault, 0.5, harmless=True, seed=7))
    assert causes[0].kind == NAMED[fault]
    assert causes[0].explained is not None
    assert causes[0].explained > 0.5


def test_a_threshold_is_read_off_rows_that_are_surely_from_before(tmp_path: Path) -> None:
    _, causes = found(tmp_path / "s", Scenario("threshold", 0.3, harmless=True, seed=3))  # seen a bit late
    assert causes[0].kind == "threshold_changed"


@pytest.mark.parametrize("harmless", [False, True])
def test_without_a_fault_no_cause_is_named(tmp_path: Path, *, harmless: bool) -> None:
    assert found(tmp_path / "s", Scenario("none", harmless=harmless, seed=7))[1] == []


def test_an_incident_is_explained_with_a_verdict_and_the_first_check(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    found(folder, Scenario("missing up", harmless=True, seed=8))
    report(folder, "m", "answers got worse")
    answer = explain_incident(folder, "0001")
    assert "amount is missing in" in answer.headline
    assert answer.because[0].startswith("hotfix: mend what delivers the inputs")
    (first, *_) = answer.table("causes").rows
    assert first[0] == "missing_up"
    assert str(first[-2]).startswith("payments-etl-")  # the source is asked
    said = setpoint("why", "0001", "--store", str(folder), cwd=tmp_path)
    assert said.returncode == 0
    assert "missing up" in said.stdout


def test_the_team_that_owns_the_upstream_is_named(tmp_path: Path) -> None:
    layout, _ = found(tmp_path / "s", Scenario("missing up", seed=8))
    model = layout.model("m")
    report(layout.root, "m", "answers got worse")
    for amount, asked in (("", "payments (payments-etl-1)"), ("crm", "sales (crm)")):
        features = (*model.features, Feature("amount", source=amount))
        layout.declare(replace(model, features=features, sources=(("payments-etl", "payments"), ("crm", "sales"))))
        answer = explain_incident(layout.root, "0001")
        assert answer.because[0].endswith(f"no rollback helps; ask {asked}")
        assert answer.table("causes").rows[0][-2] == asked


def test_an_incident_about_an_input_names_whose_it_is(tmp_path: Path) -> None:
    service = Service(tmp_path / "s")
    owned = replace(OWNED, features=(Feature("x", source="crm"),), sources=(("crm", "sales"),))
    service.layout.declare(owned)
    alert = Alert("m", "broken_contract", "range of x", START, "ticket", "x is out of range", ("f1",))
    ((incident, _),) = update_incidents(service.layout, [alert], {}, {}, START)
    assert incident.title == "x is out of range; delivered by sales (crm)"


@pytest.mark.parametrize("fault", ["unit", "columns swapped", "stale feature"])
def test_a_stretch_that_begins_before_the_first_row_hides_no_cause(tmp_path: Path, fault: Fault) -> None:
    layout, causes = found(tmp_path / "s", Scenario(fault, 0.5, seed=7))
    report(layout.root, "m", "answers got worse")  # whose causes are looked for in the week before
    assert explain_incident(layout.root, "0001").table("causes").rows[0][:2] == (causes[0].kind, causes[0].subject)


def test_causes_of_an_incident_over_several_models_are_ranked_over_all_of_them(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "s", replay_now=START)
    faults: dict[str, Fault] = {"quiet": "none", "hit": "missing up", "too": "missing up"}
    for model, fault in faults.items():
        record_fault(layout, Scenario(fault, harmless=True, seed=8), model)
    models, now = ("quiet", "hit", "too"), layout.clock.now()
    incident = Incident("0001-quiet", models, "stalled", "", "worse in 3 models", "ticket", now, now, "x")
    open_incident(layout, incident, [IncidentEvent("0001-quiet", 0, now, "opened", IncidentState.OPEN, "x", "", "")])
    answer = explain_incident(layout.root, "0001")
    assert answer.table("causes").rows[0][0] == "missing_up"
    assert "first in 2 of 3 models: hit, too" in answer.because
    explained = answer.table("causes").rows[0][2]
    assert isinstance(explained, float)
    assert 0.4 < explained < 0.7  # of the quiet one nothing


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_to_do_about_several_models_is_one_thing_only_when_it_holds_for_all(
    tmp_path: Path, *, is_kept: bool
) -> None:
    layout = Layout.create(tmp_path / "s", replay_now=START)
    for seed, model in enumerate(("quiet", "one", "two")):
        publish(layout, model, Route("fallback", (("v2", 1.0),), stable="v2", fallback=("v1",)))
        fault: Fault = "none" if model == "quiet" else "model version"
        record_fault(layout, Scenario(fault, seed=seed), model)
    if not is_kept:
        publish(layout, "two", Route("single", (("v2", 1.0),), stable="v2"))
    models, now = ("quiet", "one", "two"), layout.clock.now()
    incident = Incident("0001-quiet", models, "stalled", "", "worse in 3 models", "ticket", now, now, "x")
    open_incident(layout, incident, [IncidentEvent("0001-quiet", 0, now, "opened", IncidentState.OPEN, "x", "", "")])
    answer = explain_incident(layout.root, "0001")
    assert answer.table("causes").rows[0][:2] == ("model_version", "v2")
    advice, changed = answer.because[:2]
    assert changed.startswith("accuracy changed")
    assert "quiet" not in advice
    if is_kept:
        assert advice.startswith("rollback: one: v1 can answer at once; ")
        assert "; two: v1 can answer at once; " in advice
    else:
        assert advice.startswith("another thing in each model: rollback in one: v1 can answer at once; ")
        assert "; investigate in two: there is nothing to go back to: the route keeps v1 ready no more" in advice


@pytest.mark.parametrize("how", ["fall_back", "mitigated"])
def test_an_incident_is_explained_as_of_its_own_time_also_days_after_another_version_answered(
    tmp_path: Path, how: Literal["fall_back", "mitigated"]
) -> None:
    layout, causes = found(tmp_path / "s", Scenario("missing up", 0.8, rows_per_hour=100, seed=8))
    began, ended = START + 12 * HOUR, START + 24 * HOUR
    clock = cast("ReplayClock", layout.clock)
    with closing(Recorder(layout, "m", version="v0")) as recorder:
        for n in range(5 * 24 * 60):
            at = ended + n * MINUTE
            clock.set(at)
            is_right = n % 6 > 0
            name = recorder.record({"amount": 20.0, "age": 45.0}, score=0.9, predicted_at=at)
            recorder.outcome(float(is_right), prediction_id=name, observed_at=at)
    clock.save()
    incident = Incident("0001-m", ("m",), "stalled", "", "worse", "ticket", began, began + HOUR, "x")
    events = [IncidentEvent("0001-m", 0, began + HOUR, "opened", IncidentState.OPEN, "x", "", "")]
    if how == "fall_back":
        decision = Decision("fall_back", "guardrail", "v0 answers")
        record_decision(layout, Recorded("d1", "m", "quality", ended, decision, is_carried_out=True))
        events.append(IncidentEvent("0001-m", 1, ended, "decision", IncidentState.OPEN, "setpoint", "", "d1"))
    else:
        events.append(IncidentEvent("0001-m", 1, ended, how, IncidentState.MITIGATED, "ada", "", ""))
    open_incident(layout, incident, events)
    answer = explain_incident(layout.root, "0001")
    assert answer.table("causes").rows[0][:2] == (causes[0].kind, causes[0].subject) == ("missing_up", "amount")
    then = explain_incident(layout.root, "0001", as_of=ended)
    assert then.headline == answer.headline


@pytest.mark.parametrize("days", [1, 8])
def test_what_came_with_drift_is_looked_for_as_long_ago_as_the_runbook_does(tmp_path: Path, days: int) -> None:
    layout, incident = slow_drift(tmp_path / "s", days=days)
    open_incident(
        layout,
        incident,
        [IncidentEvent(incident.incident_id, 0, incident.opened_at, "opened", IncidentState.OPEN, "x", "", "")],
    )
    told = explain_incident(layout.root, incident.incident_id).table("causes").rows
    assert [row[:2] for row in told] == ([("feature_version", "normaliser-8")] if days == 8 else [])


def test_an_incident_without_a_cause_is_unknown(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    found(folder, Scenario("none", seed=9))
    report(folder, "m", "somebody is worried")
    said = setpoint("why", "0001-m", "--store", str(folder), cwd=tmp_path)
    assert said.returncode == 3
    assert "no cause found" in said.stdout


def test_causes_are_ranked_by_what_they_explain_when_they_began_and_how_likely_they_are() -> None:
    late = Cause("missing_up", "x", 1.0, 0, 0.1, "")
    half = Cause("price", "x", 0.5, 0, 1.0, "")
    unchecked = Cause("contract_break", "x", None, 0, 1.0, "")
    assert ranked([late, half, unchecked]) == [unchecked, half, late]


@pytest.mark.parametrize(
    ("kind", "is_looked_at"), [("input_drift", False), ("output_drift", False), ("new_errors", True)]
)
def test_how_long_answers_take_is_no_explanation_of_drift(kind: str, *, is_looked_at: bool) -> None:
    incident = Incident("0001-m", ("m",), kind, "", "something moved", "ticket", START, START, "drift")
    found = metrics_of(incident, Model("m"))
    assert ("latency_seconds" in found) is is_looked_at
    assert {"accuracy", "error_ratio"} <= set(found)
