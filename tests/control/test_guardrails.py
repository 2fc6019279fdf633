"""Guardrails: a red line is crossed by more than chance, once, and what was declared is done or only written down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.control.served import MINUTE, OWNED, Service

from setpoint.control.guarded import read
from setpoint.control.loop import tick
from setpoint.control.route_plans import publish
from setpoint.core.clock import HOUR
from setpoint.core.contract import Contract, ContractField
from setpoint.core.errors import DeclarationError
from setpoint.core.guardrail import Guardrail
from setpoint.core.model import Cohort, Feature
from setpoint.core.route_plan import Route
from setpoint.predictions.recorder import Recorder
from setpoint.project.guardrails import watched
from setpoint.project.plan import apply, plan
from setpoint.project.rollouts import start_rollout
from setpoint.store.decisions import decisions_of
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import events_of
from setpoint.store.route_file import last_plan
from setpoint.store.spool import Spool
from setpoint.testing import Behaviour

ERRORS = Guardrail("too-many-errors", "error_ratio", above=0.05, actions=("fall_back", "page"), mode="act")


def service(folder: Path, *guardrails: Guardrail, errors: float = 0.01) -> Service:
    model = replace(OWNED, guardrails=guardrails)
    return Service(folder, model, {"v1": Behaviour(errors), "v2": Behaviour(), "v0": Behaviour()})


def crossed(layout: Layout) -> list[str]:
    return [one.said for one in open_findings(read_findings(layout, "m")) if one.kind == "guardrail"]


def test_a_crossing_is_acted_on_once_and_over_when_the_value_is_well(tmp_path: Path) -> None:
    found = service(tmp_path / "s", ERRORS)
    publish(found.layout, "m", Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v0",)))
    assert tick(found.layout).decided == []
    found.versions["v1"].errors = 0.3
    found.serve(5)
    done = tick(found.layout).decided
    assert [(one.decision.action, one.is_carried_out) for one in done] == [("fall_back", True), ("page", True)]
    assert "error_ratio is 2" in crossed(found.layout)[0]
    assert "above 5.0 %" in crossed(found.layout)[0]
    plan_now = last_plan(found.layout, "m")
    assert plan_now is not None
    assert plan_now.route.shares == (("v0", 1.0),)
    found.serve(1)
    assert tick(found.layout).decided == []
    found.wait(HOUR)
    found.serve(30)
    tick(found.layout)
    assert crossed(found.layout) == []


@pytest.mark.parametrize("mode", ["observe", "propose"])
def test_what_is_only_observed_or_proposed_is_written_down_and_not_done(tmp_path: Path, mode: str) -> None:
    found = service(tmp_path / "s", replace(ERRORS, mode=mode), errors=0.3)
    before = last_plan(found.layout, "m")
    done = tick(found.layout).decided
    assert [(one.decision.action, one.is_carried_out) for one in done] == [("fall_back", False), ("page", False)]
    assert last_plan(found.layout, "m") == before


def test_at_its_red_line_a_guardrail_is_quiet_however_often_it_is_looked_at(tmp_path: Path) -> None:
    found = service(tmp_path / "s", ERRORS, errors=0.05)
    found.requests_per_minute = 400
    for _ in range(20):
        found.serve(3)
        tick(found.layout)
    assert not [one for one in read_findings(found.layout, "m") if one.kind == "guardrail"]


def test_latency_is_watched_by_its_quantile(tmp_path: Path) -> None:
    slow = Guardrail("slow", "latency_p95_seconds", above=0.13)
    found = service(tmp_path / "s", slow)
    with KeptEvidence(found.layout, found.declared, found.now, found.now, None).snapshot:
        pass
    reading = read(KeptEvidence(found.layout, found.declared, found.now, found.now, None), slow, found.now)
    assert reading.is_well
    assert not reading.is_crossed
    assert reading.metric.name == "latency_p95_seconds"
    found.versions["v1"].slower = 1.5
    found.wait(HOUR)
    found.serve(5)
    reading = read(KeptEvidence(found.layout, found.declared, found.now, found.now, None), slow, found.now)
    assert reading.is_crossed


def test_quality_is_watched_in_a_cohort(tmp_path: Path) -> None:
    low = Guardrail("low", "accuracy", below=0.8, over=HOUR, cohort="x", value="1.0")
    model = replace(OWNED, guardrails=(low,), cohorts=(Cohort("x", by="x"),), features=(Feature("x"),))
    found = Service(tmp_path / "s", model, {"v1": Behaviour(wrong=0.5)})
    found.serve(2, outcomes=True)
    found.wait(MINUTE)
    tick(found.layout)
    assert "accuracy of x 1.0 is 0." in crossed(found.layout)[0]


CARRIERS = ("UA",) * 9 + ("VX",)
VX = Behaviour(0.01, cost_usd=0.01, errors_of={"VX": 0.2}, times_of={"VX": 2.0})


@pytest.mark.parametrize(
    ("metric", "above", "of_vx"),
    [
        ("error_ratio", 0.1, 0.2),
        ("latency_p95_seconds", 0.18, 0.227),
        ("violation_ratio", 0.5, 1.0),
        ("cost_per_prediction_usd", 0.015, 0.02),
        ("cost_per_success_usd", 0.018, 0.02 / 0.9),
    ],
)
def test_what_is_counted_waited_for_and_paid_is_watched_in_a_cohort(
    tmp_path: Path, metric: str, above: float, of_vx: float
) -> None:
    whole = Guardrail("whole", metric, above=above)
    one = replace(whole, name="vx", cohort="carrier", value="VX")
    each = replace(whole, name="each", cohort="carrier")
    contract = Contract((ContractField("carrier", allowed=("UA",)),))
    model = replace(OWNED, guardrails=(whole, one, each), cohorts=(Cohort("carrier", by="carrier"),), contract=contract)
    found = Service(tmp_path / "s", model, {"v1": VX}, carriers=CARRIERS)
    found.serve(2, outcomes=True)
    found.wait(2 * MINUTE)
    tick(found.layout)
    open_now = [one for one in open_findings(read_findings(found.layout, "m")) if one.kind == "guardrail"]
    assert sorted(one.subject for one in open_now) == ["each: VX", "vx"]
    assert all(f"{metric} of carrier VX is " in one.said for one in open_now)
    reading = read(KeptEvidence(found.layout, model, found.now, found.now, None), one, found.now)
    assert reading.metric.value == pytest.approx(of_vx, rel=0.15)


def test_where_few_rows_are_kept_a_cohort_at_its_red_line_is_quiet(tmp_path: Path) -> None:
    line = Guardrail("vx", "error_ratio", above=0.05, cohort="carrier", value="VX")
    model = replace(OWNED, guardrails=(line,), cohorts=(Cohort("carrier", by="carrier"),), keep=0.1)
    crossings, values = 0, list[float]()
    for seed in range(20):
        found = Service(tmp_path / f"s{seed}", model, {"v1": Behaviour(0.05)}, carriers=("VX",), seed=seed, rate=4000)
        reading = read(KeptEvidence(found.layout, model, found.now, found.now, None), line, found.now)
        crossings += reading.is_crossed
        values.append(reading.metric.value or 0.0)
        assert reading.metric.rows < 1000  # of 4,000 requests: no more sure than what was kept
    assert crossings == 0
    assert sum(values) / len(values) == pytest.approx(0.05, rel=0.1)


def test_a_rollback_ends_the_rollout_and_without_one_says_why_not(tmp_path: Path) -> None:
    guardrail = replace(ERRORS, actions=("roll_back",))
    found = service(tmp_path / "s", guardrail)
    start_rollout(found.folder, "m", "v2")
    found.look()
    found.versions["v2"].errors = found.versions["v1"].errors = 0.3
    found.serve(5)
    done = [one for one in tick(found.layout).decided if one.decision.action == "roll_back"]
    assert done[0].is_carried_out
    assert events_of(found.layout, "m/v2/1")[-1].actor == "guardrail"
    other = service(tmp_path / "t", guardrail, errors=0.3)
    one = tick(other.layout).decided[0]
    assert not one.is_carried_out
    assert "not done: no rollout of m is under way" in one.decision.said
    assert [d.decision.said for d in decisions_of(other.layout, subject="too-many-errors")] == [one.decision.said]


def test_a_finding_trips_a_guardrail(tmp_path: Path) -> None:
    found = service(tmp_path / "s", Guardrail("odd", finding="odd_score", actions=("ticket",), mode="act"))
    recorder = Recorder(found.layout, "m", spool=Spool(found.layout))
    recorder.record({"x": 1.0}, score=7.0)
    recorder.close()
    found.wait(HOUR)
    assert [one.decision.action for one in tick(found.layout).decided] == ["ticket"]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"metric": "error_ratio"}, "expected one red line"),
        ({"metric": "error_ratio", "above": 0.1, "below": 0.2}, "expected one red line"),
        ({"finding": "odd_score", "above": 0.1}, "a finding has no red line"),
        ({}, "expected a metric or a finding"),
        ({"finding": "input_drift", "actions": ("page",)}, "input_drift need not be harm, so it cannot page"),
        ({"metric": "auc", "below": 0.7, "value": "VX"}, "expected a cohort beside the value"),
        ({"metric": "spend_usd", "above": 7.0, "cohort": "carrier"}, "spend_usd is not told by cohort"),
        ({"finding": "broken_contract", "cohort": "carrier"}, "broken_contract is not told by cohort"),
    ],
)
def test_what_cannot_be_watched_is_refused(told: dict[str, object], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        Guardrail("g", **told)  # pyright: ignore[reportArgumentType] — fields of a guardrail


def test_plan_refuses_what_no_data_feeds_and_doubts_what_is_crossed_already(tmp_path: Path) -> None:
    found = service(tmp_path / "s", errors=0.2)
    (tmp_path / "models").mkdir()
    (tmp_path / "setpoint.yaml").write_text("store: ./s\n")
    text = "guardrails:\n- {name: g, metric: METRIC}\n"
    for metric, said in (
        ("spend_per_cow, above: 1", "no metric of a binary model"),
        ("auc, below: 0.7", "nothing feeds auc"),
        ("accuracy, below: 0.7, cohort: version, value: v9", "version v9 never occurred"),
        ("accuracy, below: 0.7, cohort: region, value: eu", "no cohort is called region"),
        ("cost_per_prediction_usd, above: 1, cohort: version", "nothing feeds cost_per_prediction_usd"),
    ):
        (tmp_path / "models" / "m.yaml").write_text(text.replace("METRIC", metric))
        with pytest.raises(DeclarationError, match=said):
            apply(tmp_path)
    (tmp_path / "models" / "m.yaml").write_text(text.replace("METRIC", "error_ratio, above: 0.1, actions: [roll_back]"))
    told = plan(tmp_path).text()
    assert "guardrail g: error_ratio is beyond its red line already: " in told
    assert "no version is left to roll back to while no rollout is under way: use page" in told
    apply(tmp_path)
    assert watched(found.layout, found.layout.model("m")).unfed == ()


def test_each_value_of_a_cohort_is_watched_by_itself_and_what_is_flagged_needs_no_outcome(tmp_path: Path) -> None:
    much = Guardrail("too-many", "flagged_ratio", above=0.7, cohort="channel", actions=("page",), mode="act")
    few = Guardrail("too-few", "flagged_ratio", below=0.3, cohort="channel")
    model = replace(OWNED, guardrails=(much, few), cohorts=(Cohort("channel", by="channel"),))
    found = service(tmp_path / "s")
    found.layout.declare(model)

    def serve(rows: int, **flagged: float) -> None:
        recorder = Recorder(found.layout, "m", spool=Spool(found.layout))
        for n in range(rows):
            for channel, ratio in {"app": 0.5, "web": 0.5, **flagged}.items():
                is_flagged = (n * 7919) % 1000 < 1000 * ratio
                recorder.record({"channel": channel}, prediction=float(is_flagged), version="v1")
        recorder.close()
        found.wait(HOUR)

    serve(300)
    tick(found.layout)
    assert crossed(found.layout) == []
    serve(100, web=0.99)
    decided = tick(found.layout).decided
    assert [(one.decision.action, one.subject) for one in decided] == [("page", "too-many")]
    assert crossed(found.layout)[0].startswith("flagged_ratio of channel web is 100.0 %")
    serve(400, app=0.02, web=0.99)
    tick(found.layout)
    assert sorted(said.split(" is ")[0] for said in crossed(found.layout)) == [
        "flagged_ratio of channel app",
        "flagged_ratio of channel web",
    ]
    found.wait(2 * HOUR)  # nobody asks: nothing heard is nothing mended
    tick(found.layout)
    assert len(crossed(found.layout)) == 2
