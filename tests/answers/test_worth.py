"""What a version is worth over another: by requests both answered, by lot, or unknown; never by luck of selection."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests import commands

import setpoint
from setpoint.answers.answer import Answer
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import UsageError
from setpoint.core.model import Cohort, Model, Rates, Success, Task
from setpoint.core.route_plan import Cascade, Route
from setpoint.core.verdict import Verdict
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01
MODEL = Model("m", cohorts=(Cohort("country", by="country"),))
COUNT = 3000
Row = Mapping[str, Any]


def requests(count: int = COUNT, seed: int = 7) -> list[dict[str, Any]]:
    """Return requests with what a cheap version answers, right as often as it is sure, and one that is mostly right."""
    rng = random.Random(seed)
    found: list[dict[str, Any]] = []
    for n in range(count):
        truth, sure = rng.random() < 0.4, 0.5 + rng.random() / 2
        cheap = truth if rng.random() < sure else not truth
        expensive = truth if rng.random() < 0.95 else not truth
        found.append(
            {"n": n, "at": START + n * DAY // count, "truth": truth, "sure": sure, "v1": cheap, "v2": expensive}
        )
    return found


def row(one: Row, version: str, **more: object) -> dict[str, object]:
    """Return a root row of a version's answer to a request; `root` makes it a row under another."""
    sure = one["sure"] if version == "v1" else 0.9
    name = f"r{one['n']:06d}"
    return {
        "prediction_id": name, "version": version, "prediction": one[version], "predicted_at": one["at"],
        "score": sure if one[version] else 1.0 - sure, "unit": f"u{one['n'] // 2}", "role": "stable",
        "cost": {"v1": 0.001, "v2": 0.005}.get(version, 0.0), **more,
    }  # fmt: skip


def child(one: Row, version: str, role: str, **more: object) -> dict[str, object]:
    name = f"r{one['n']:06d}"
    return row(one, version, prediction_id=f"{name}{role}", root_id=name, parent_id=name, role=role, **more)


def shadowed(found: Iterable[Row]) -> list[dict[str, object]]:
    return [made for one in found for made in (row(one, "v1"), child(one, "v2", "shadow"))]


def store(
    folder: Path, rows: Iterable[Mapping[str, Any]], truths: Iterable[Row] = (), model: Model = MODEL, days: float = 2.0
) -> setpoint.Log:
    layout = Layout.create(folder, replay_now=START)
    layout.declare(model)
    recorder = Recorder(layout, model.name, spool=Spool(layout))
    for told in rows:
        made = dict(told)
        cost, name = made.pop("cost"), str(made["prediction_id"])
        inputs = {"x": 1.0, "country": ["DE", "FR", "IT"][int(name[1:7]) % 3]}
        recorder.record(inputs, **made)
        if cost is not None:
            recorder.call(name, called_at=made["predicted_at"], cost_nano_usd=round(cost * 1e9))
    for one in truths:
        recorder.outcome(one["truth"], prediction_id=f"r{one['n']:06d}", observed_at=one["at"] + HOUR)
    recorder.close()
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(int(START + days * DAY))
    clock.save()
    return setpoint.open(layout.root)


def metric(answer: Answer, name: str) -> dict[str, Any]:
    table = answer.table("metrics")
    return next(dict(zip(table.columns, found, strict=True)) for found in table.rows if found[0] == name)


def accuracy(found: Iterable[Row], version: str) -> float:
    right = [one[version] == one["truth"] for one in found]
    return sum(right) / len(right)


def test_requests_that_both_answered_are_compared_with_each_other(tmp_path: Path) -> None:
    found = requests()
    answer = store(tmp_path / "s", shadowed(found), found).worth("v2", over="v1", value=0.40)
    gain = accuracy(found, "v2") - accuracy(found, "v1")
    assert metric(answer, "gain")["value"] == pytest.approx(gain)
    assert metric(answer, "extra_cost_usd")["value"] == pytest.approx(0.004)
    assert metric(answer, "extra_cost_ratio")["value"] == pytest.approx(4.0)
    assert metric(answer, "cost_per_extra_success_usd")["value"] == pytest.approx(0.004 / gain)
    assert metric(answer, "net_benefit_usd")["value"] == pytest.approx(0.40 * gain - 0.004)
    assert f"+{100 * gain:.1f} % [" in answer.headline
    assert "] correct for +400 % [400, 400] cost = $0.0" in answer.headline
    assert "per extra correct" in answer.headline
    assert answer.verdict is Verdict.OK
    assert any("both answered" in line for line in answer.because)


def test_both_answers_are_of_one_unit_even_where_only_one_says_whose(tmp_path: Path) -> None:
    found = requests()
    told = shadowed(found)
    silent = [{**made, "unit": None} if made["role"] == "shadow" else made for made in told]
    answers = [
        store(tmp_path / name, rows, found).worth("v2", over="v1") for name, rows in (("a", told), ("b", silent))
    ]
    assert metric(answers[0], "gain") == metric(answers[1], "gain")
    assert [found_row[4] for found_row in answers[1].table("versions").rows] == [COUNT // 2, COUNT // 2]


def test_a_gain_that_is_not_worth_its_cost_is_a_breach(tmp_path: Path) -> None:
    found = requests()
    answer = store(tmp_path / "s", shadowed(found), found).worth("v2", over="v1", value=0.001)
    assert answer.verdict is Verdict.BREACH
    assert "not worth it" in answer.headline


def test_drawn_units_count_by_their_chance_so_that_a_raised_share_changes_nothing(tmp_path: Path) -> None:
    """Mornings are easy and few units were drawn for the candidate then: as they are, its rows look too hard."""
    rng, found, rows = random.Random(2), requests(8000), list[dict[str, object]]()
    for one in found:
        is_late = one["n"] >= len(found) // 2
        share = 0.8 if is_late else 0.1
        for version in ("v1", "v2"):
            one[version] = one["truth"] if rng.random() < (0.6 if is_late else 0.95) else not one["truth"]
        is_candidate = rng.random() < share
        version, chance = ("v2", share) if is_candidate else ("v1", 1.0 - share)
        rows.append(row(one, version, unit=f"u{one['n']}", assignment_probability=chance))
    answer = store(tmp_path / "s", rows, found).worth("v2", over="v1")
    gain = metric(answer, "gain")
    assert gain["low"] < 0.0 < gain["high"]
    assert abs(gain["value"]) < 0.05
    assert "gain unproven" in answer.headline
    assert answer.verdict is Verdict.UNKNOWN
    assert any("more rows with an outcome" in line or "in sight" in line for line in answer.unknowns)


def test_rows_without_a_chance_do_not_count_when_units_were_drawn(tmp_path: Path) -> None:
    found = requests()
    rows = [
        row(one, version, assignment_probability=0.5 if one["n"] % 3 else None)
        for one in found
        for version in [("v1", "v2")[one["n"] // 2 % 2]]
    ]
    answer = store(tmp_path / "s", rows, found).worth("v2", over="v1")
    counted = sum(int(str(found_row[3])) for found_row in answer.table("versions").rows)
    assert 0.6 * COUNT < counted < 0.7 * COUNT
    assert answer.verdict is Verdict.OK


def test_units_that_nobody_drew_are_a_warning(tmp_path: Path) -> None:
    found = requests()
    rows = [row(one, "v1" if one["n"] < COUNT // 2 else "v2") for one in found]
    answer = store(tmp_path / "s", rows, found).worth("v2", over="v1")
    assert answer.verdict is Verdict.WARNING
    assert any("not drawn" in line for line in answer.because)


def test_pairs_that_are_too_few_are_said(tmp_path: Path) -> None:
    found = requests(400)
    rows = [
        *shadowed(found[:40]),
        *(row(one, "v2" if one["n"] % 4 else "v1", assignment_probability=None) for one in found[40:]),
    ]
    said = store(tmp_path / "s", rows, found).worth("v2", over="v1").text()
    assert "requests; 40 requests that both answered are too few, 100 are needed" in said


def test_a_version_that_fails_is_not_correct(tmp_path: Path) -> None:
    found = requests()
    rows = [
        made
        for one in found
        for made in (
            row(one, "v1"),
            child(
                one, "v2", "shadow", **({"prediction": None, "score": None, "error": "Timeout"} if one["n"] % 2 else {})
            ),
        )
    ]
    answer = store(tmp_path / "s", rows, found).worth("v2", over="v1")
    assert metric(answer, "gain")["high"] < 0.0
    assert "worse and no cheaper" in answer.headline
    assert answer.verdict is Verdict.BREACH


def test_unknown_prices_make_the_cost_unknown_and_say_of_how_many(tmp_path: Path) -> None:
    found = requests()
    rows = [
        {**made, "cost": None} if made["version"] == "v2" and n % 10 == 1 else made
        for n, made in enumerate(shadowed(found))
    ]
    answer = store(tmp_path / "s", rows, found).worth("v2", over="v1", value=0.4)
    assert answer.verdict is Verdict.UNKNOWN
    assert "unknown cost: 20.0 % of v2's 3,000 rows have no known price" in answer.headline
    assert metric(answer, "gain")["value"] > 0.0
    assert metric(answer, "net_benefit_usd")["value"] is None


def cascaded(found: Iterable[Row], *, audit: float, at_least: float = 0.8) -> list[dict[str, object]]:
    rng, rows = random.Random(4), list[dict[str, object]]()
    for one in found:
        if one["sure"] >= at_least:
            rows.append(row(one, "v1", assignment_probability=1.0))
            if rng.random() < audit:
                rows.append(child(one, "v2", "shadow"))
        else:
            rows += [row(one, "v2"), child(one, "v1", "stage", assignment_probability=1.0)]
    return rows


def routed(audit: float, at_least: float = 0.8) -> Model:
    cascade = Cascade("v1", "v2", at_least, audit)
    return Model("m", route=Route("cascade", (("v1", 1.0),), stable="v2", cascade=cascade))


def test_a_cascade_without_an_audit_compares_nothing_for_it_chose_who_gets_the_hard_ones(tmp_path: Path) -> None:
    found = requests()
    answer = store(tmp_path / "s", cascaded(found, audit=0.0), found, routed(0.0)).worth("v2", over="v1")
    assert answer.verdict is Verdict.UNKNOWN
    assert "audit a share" in answer.headline


def test_audited_requests_stand_for_all_that_the_cascade_accepted(tmp_path: Path) -> None:
    found = requests(6000)
    answer = store(tmp_path / "s", cascaded(found, audit=0.2), found, routed(0.2)).worth("v2", over="v1")
    gain = metric(answer, "gain")
    assert gain["low"] <= accuracy(found, "v2") - accuracy(found, "v1") <= gain["high"]
    assert gain["high"] - gain["low"] < 0.08


@pytest.mark.parametrize(("over", "missing"), [("none", "baseline"), ("rule", "rule"), ("holdout", "holdout")])
def test_without_a_holdout_nobody_knows_what_no_model_would_do(tmp_path: Path, over: str, missing: str) -> None:
    found = requests(200)
    answer = store(tmp_path / "s", shadowed(found), found).worth("v2", over=over)
    assert answer.verdict is Verdict.UNKNOWN
    assert missing in answer.headline


def test_a_holdout_costs_nothing_and_the_model_bears_what_is_shared(tmp_path: Path) -> None:
    found = requests()
    for one in found:
        one["holdout"] = False
    model = Model("m", rates=Rates(per_prediction_usd=0.002, per_month_usd=100.0))
    rows = [
        row(
            one,
            "holdout" if one["n"] // 2 % 5 == 0 else "v2",
            assignment_probability=0.2 if one["n"] // 2 % 5 == 0 else 0.8,
            cost=None,
        )
        for one in found
    ]
    log = store(tmp_path / "s", rows, found, model)
    answer = log.worth("v2", over="none")
    gain = metric(answer, "gain")
    assert gain["low"] > 0.2
    monthly = 100.0 * 2.0 / (365.25 / 12) / COUNT
    assert metric(answer, "extra_cost_usd")["value"] == pytest.approx(0.002 + monthly, rel=1e-3)
    assert "a prediction = $" in answer.headline


def test_a_declared_baseline_is_asked_the_same_requests(tmp_path: Path) -> None:
    found = requests()
    log = store(tmp_path / "s", [row(one, "v2") for one in found], found, Model("m", baseline="0"))
    answer = log.worth("v2", over="none")
    expected = accuracy(found, "v2") - sum(not one["truth"] for one in found) / COUNT
    assert metric(answer, "gain")["value"] == pytest.approx(expected)
    assert any("the declared baseline" in line for line in answer.because)


@pytest.mark.parametrize(
    ("model", "answers"),
    [
        (Model("m", task=Task.MULTICLASS, baseline="no"), {True: "yes", False: "no"}),
        (Model("m", task=Task.REGRESSION, baseline="2", success=Success(tolerance=0.5)), {True: 9.0, False: 2.0}),
    ],
    ids=["classes", "numbers"],
)
def test_other_tasks_and_their_baselines(tmp_path: Path, model: Model, answers: dict[bool, object]) -> None:
    found = requests()
    rows = [{**made, "prediction": answers[bool(made["prediction"])]} for made in shadowed(found)]
    truths = [{**one, "truth": answers[one["truth"]]} for one in found]
    log = store(tmp_path / "s", rows, truths, model)
    gain = accuracy(found, "v2") - accuracy(found, "v1")
    assert metric(log.worth("v2", over="v1"), "gain")["value"] == pytest.approx(gain)
    over_none = accuracy(found, "v1") - sum(not one["truth"] for one in found) / COUNT
    assert metric(log.worth("v1", over="none"), "gain")["value"] == pytest.approx(over_none)


def test_grades_are_of_one_answer_and_pair_nothing(tmp_path: Path) -> None:
    found = requests(400)
    model = Model("m", task=Task.GENERATION)
    rows = [
        {k: v for k, v in made.items() if k not in {"prediction", "score"}} | {"text": "a"} for made in shadowed(found)
    ]
    answer = store(tmp_path / "s", rows, found, model).worth("v2", over="v1")
    assert answer.verdict is Verdict.UNKNOWN


def test_each_group_is_compared_and_all_intervals_hold_together(tmp_path: Path) -> None:
    found = requests()
    log = store(tmp_path / "s", shadowed(found), found)
    answer = log.worth("v2", over="v1", by="country")
    table = answer.table("by_country")
    assert sorted(str(one[0]) for one in table.rows) == ["DE", "FR", "IT"]
    assert "all 3 groups together" in " ".join(table.shown)
    gain = metric(answer, "gain")
    widest = max(float(str(one[3])) - float(str(one[2])) for one in table.rows)
    assert widest > (gain["high"] - gain["low"]) * 3**0.5 * 1.1


def test_only_outcomes_of_equal_age_count_while_they_still_come(tmp_path: Path) -> None:
    """The candidate came late: as they are, its few known outcomes are the quick ones."""
    found = requests(6000)
    rows = [
        row(one, "v2" if one["n"] // 2 % 2 else "v1", assignment_probability=0.5, unit=f"u{one['n']}")
        for one in found
        if not (one["n"] // 2 % 2 and one["n"] < 3600)
    ]
    answer = store(tmp_path / "s", rows, found, days=0.98).worth("v2", over="v1", window="2026-01-01..2026-01-02")
    assert all(float(str(one[5])) > 0.0 for one in answer.table("versions").rows)


def test_what_cannot_be_asked_says_what_can(tmp_path: Path) -> None:
    found = requests(100)
    log = store(tmp_path / "s", shadowed(found), found)
    for ask, expected in (
        (lambda: log.worth("v3", over="v1"), "no version called v3"),
        (lambda: log.worth("v2", over="v9"), "no version called v9"),
        (lambda: log.worth("v2", over="v2"), "against itself"),
        (lambda: log.worth("v2", over="v1", value=0.0), "dollars above 0"),
        (lambda: log.worth("v2", over="v1", by="version"), "by version"),
    ):
        with pytest.raises(UsageError, match=expected) as raised:
            ask()
        assert raised.value.hint


def test_files_with_a_version_column_are_compared_too() -> None:
    found = requests()
    table = pl.DataFrame(
        [
            {"ts": one["at"], "version": version, "score": 0.9 if one[version] else 0.1, "outcome": one["truth"],
             "cost_usd": {"v1": 0.001, "v2": 0.005}[version]}
            for one in found
            for version in [("v1", "v2")[one["n"] % 2]]
        ]
    ).with_columns(pl.from_epoch("ts", "us").dt.replace_time_zone("UTC"))  # fmt: skip
    answer = setpoint.read(table).worth("v2", over="v1")
    assert answer.verdict is Verdict.WARNING
    assert metric(answer, "extra_cost_usd")["value"] == pytest.approx(0.004)


def test_the_command_prints_it_and_leaves_with_its_exit_code(tmp_path: Path) -> None:
    found = requests()
    store(tmp_path / "s", shadowed(found), found).close()
    command = ("worth", "m", "v2", "--over", "v1", "--value", "0.0001", "--store", "s")
    done = commands.setpoint(*command, "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["question"] == "worth"
    done = commands.setpoint("worth", "m", "v2", "--over", "nobody", "--store", "s", cwd=tmp_path)
    assert done.returncode == 2
    assert "known here: v1, v2" in done.stderr
