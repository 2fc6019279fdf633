"""Objectives: error budgets are spent, alarms tell when too fast, and chance alone sets none off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from tests.control.served import MINUTE, OWNED, Service

from setpoint.control.event_counts import RISK, EventCounts
from setpoint.control.loop import tick
from setpoint.control.objectives import spent
from setpoint.core.clock import DAY, HOUR, QUARTER_HOUR
from setpoint.core.errors import DeclarationError
from setpoint.core.objective import BURNS, Objective
from setpoint.core.verdict import Verdict
from setpoint.project.log import open_log
from setpoint.project.overview import objectives_answer
from setpoint.project.plan import plan
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.incidents import incidents_of
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.testing import Behaviour

ANSWERS = Objective("answers", "error_ratio", at_most=0.02, mode="act")


def service(folder: Path, *objectives: Objective, errors: float = 0.01) -> Service:
    return Service(folder, replace(OWNED, objectives=objectives), {"v1": Behaviour(errors)})


def serve(found: Service, minutes: int) -> None:
    for _ in range(minutes // 4):  # what is recorded five minutes ahead would be a clock that is wrong
        found.serve(4)


def burning(layout: Layout) -> list[str]:
    return [one.kind for one in open_findings(read_findings(layout, "m")) if one.kind.endswith("_burn")]


def test_a_budget_that_is_spent_within_days_pages_until_it_is_not(tmp_path: Path) -> None:
    found = service(tmp_path / "s", ANSWERS)
    serve(found, 20)
    tick(found.layout)
    assert burning(found.layout) == []
    found.versions["v1"].errors = 0.6
    serve(found, 20)
    tick(found.layout)
    assert burning(found.layout) == ["fast_burn", "slow_burn"]
    (incident, _), *others = incidents_of(found.layout)
    assert (incident.urgency, incident.kind, others) == ("page", "fast_burn", [])
    assert "of requests failed within 1 h" in incident.title
    found.versions["v1"].errors = 0.0
    found.wait(6 * HOUR)
    serve(found, 20)
    tick(found.layout)
    assert burning(found.layout) == []
    assert incidents_of(found.layout)[0][1][-1].state == "resolved"


def test_what_keeps_to_its_budget_sets_nothing_off_and_what_is_left_has_an_interval(tmp_path: Path) -> None:
    found = service(tmp_path / "s", ANSWERS, Objective("quick", "latency_p95_seconds", at_most=10.0))
    serve(found, 30)
    tick(found.layout)
    with open_log(found.layout.root) as log:
        answer = objectives_answer(log)
    assert answer.verdict is Verdict.OK
    rows = [dict(zip(answer.tables[0].columns, row, strict=True)) for row in answer.tables[0].rows]
    errors, quick = rows
    assert (quick["failed"], quick["left"]) == (0.0, 1.0)
    failed = errors["failed"]
    assert isinstance(failed, float)
    assert errors["left"] == pytest.approx(1 - failed / 0.02)
    assert errors["requests"] == quick["requests"]
    count = errors["requests"]
    assert isinstance(count, int)
    wanted = stats.binomtest(round(failed * count), count).proportion_ci(method="wilson")
    assert (errors["low"], errors["high"]) == pytest.approx((wanted.low, wanted.high))


def test_more_spent_than_there_was_is_broken(tmp_path: Path) -> None:
    found = service(tmp_path / "s", ANSWERS, errors=0.05)
    serve(found, 30)
    with open_log(found.layout.root) as log:
        answer = objectives_answer(log, "m")
    assert answer.verdict is Verdict.BREACH
    assert "answers of m" in answer.headline


def test_quality_is_counted_where_outcomes_are_mature(tmp_path: Path) -> None:
    right = Objective("right", "accuracy", at_least=0.9)
    model = replace(OWNED, objectives=(right,), outcome_horizon=2 * DAY)
    found = Service(tmp_path / "s", model, {"v1": Behaviour(wrong=0.7)})
    found.serve(5, outcomes=True)
    served_until = found.now
    evidence = KeptEvidence(found.layout, found.declared, found.now, found.now, None)
    assert spent(evidence, right, found.now).requests == 0  # none is two days old yet
    found.wait(2 * DAY + MINUTE)
    evidence = KeptEvidence(found.layout, found.declared, found.now, found.now, None)
    told = spent(evidence, right, found.now)
    assert told.window.end >= served_until
    assert told.failed.value == pytest.approx(0.7, abs=0.02)
    assert told.outcome_share == pytest.approx(0.99 * 5 / 6, abs=0.01)  # the first minute has none, nor have errors
    assert told.left.high is not None
    assert told.left.high < 0.0
    found.serve(1)
    tick(found.layout)
    assert burning(found.layout) == ["fast_burn", "slow_burn"]


@pytest.mark.parametrize("failing", [0.001, 0.02])
def test_at_its_limit_chance_alone_is_rarely_beyond_it_and_twice_the_limit_is(failing: float) -> None:
    generator = np.random.default_rng(7)
    starts = np.arange(288, dtype=np.int64) * QUARTER_HOUR

    def share(rate: float) -> float:
        found = 0
        for _ in range(300):
            asked = generator.integers(0, 400, 288).astype(float)
            found += EventCounts(starts, generator.binomial(asked.astype(int), rate).astype(float), asked).is_beyond(
                failing
            )
        return found / 300

    assert stats.binomtest(round(share(failing) * 300), 300, RISK, alternative="greater").pvalue > 0.01
    assert share(3 * failing) == 1.0


def test_burn_rates_are_those_of_the_workbook() -> None:
    # Chapter 5, table 5-8: 2 % of thirty days' budget in an hour is 14.4 times too fast, 5 % in six hours 6, 10 % in
    # three days 1.
    rates = [round(burn.rate(30 * DAY), 6) for burn in BURNS]
    assert rates == [14.4, 6.0, 3.0, 1.0]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"metric": "auc", "at_least": 0.7}, "auc is no share of requests"),
        ({"metric": "error_ratio", "at_least": 0.9}, "expected at_most alone"),
        ({"metric": "accuracy", "at_most": 0.9}, "expected at_least alone"),
        ({"metric": "error_ratio", "at_most": 0.0}, "expected a share between 0 and 1"),
        ({"metric": "accuracy", "at_least": 1.0}, "expected a share between 0 and 1"),
        ({"metric": "latency_p99_seconds", "at_most": -1.0}, "expected seconds above 0"),
        ({"metric": "error_ratio", "at_most": 0.1, "over": DAY}, "less than three days"),
    ],
)
def test_what_has_no_budget_is_refused(told: dict[str, object], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        Objective("o", **told)  # pyright: ignore[reportArgumentType] — fields of an objective


def test_an_objective_on_what_a_model_has_not_is_refused_at_plan(tmp_path: Path) -> None:
    (tmp_path / "setpoint.yaml").write_text("store: ./store\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.yaml").write_text(
        "name: m\ntask: regression\nobjectives:\n- {name: r, metric: recall, at_least: 0.8}\n"
    )
    with pytest.raises(DeclarationError, match="recall is no metric of a regression model"):
        plan(tmp_path).check()
