"""Red lines of one cohort of a rollout: judged on its own, and the risk is shared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.control.served import MINUTE, OWNED, RULES, Service

from setpoint.control.judge import Counted, Judge, Paired
from setpoint.core.errors import DeclarationError, UsageError
from setpoint.core.model import Cohort, Model
from setpoint.core.rollout import RedLine
from setpoint.declare.load import load_project
from setpoint.declare.rollout import told_rollout
from setpoint.project.plan import plan
from setpoint.project.rollouts import rehearse_rollout, start_rollout, status_of
from setpoint.store.decisions import decisions_of
from setpoint.store.rollouts import Look, events_of, evidence_of, last_look, take
from setpoint.testing import Behaviour

CARRIERS = ("UA", "UA", "UA", "UA", "UA", "UA", "UA", "UA", "UA", "VX")
LINES = (RedLine("error_ratio", 2.0), RedLine("error_ratio", 2.0, cohort="carrier", value="VX"))


def cohorted(*lines: RedLine) -> Model:
    rules = replace(RULES, steps=(0.5,), last_soak=MINUTE, red_lines=lines)
    return replace(OWNED, rollout=rules, cohorts=(Cohort("carrier", by="carrier"),))


def test_a_candidate_that_fails_in_one_cohort_is_rolled_back_and_the_cohort_named(tmp_path: Path) -> None:
    versions = {"v1": Behaviour(errors=0.02), "v2": Behaviour(errors=0.02, errors_of={"VX": 0.15})}
    service = Service(tmp_path / "s", cohorted(*LINES), versions, carriers=CARRIERS)
    start_rollout(service.folder, "m", "v2")
    service.look()
    moved = service.until_over()[-1]
    assert moved.decision.action == "roll_back"
    assert "v2 is worse than v1 in error_ratio of carrier VX, after" in moved.decision.said
    rows = {row[:2]: row for row in status_of(service.folder, "m").table("metrics").rows}
    of_all, of_cohort = (int(str(rows[name, "v2"][2])) for name in ("error_ratio", "error_ratio of carrier VX"))
    assert of_cohort == pytest.approx(of_all / 10, rel=0.2)
    assert {name.split("/")[2] for name, _ in evidence_of(service.layout, "m/v2/1") if "=" in name} == {"carrier=VX"}


def test_a_cohort_of_wrong_answers_is_judged_on_its_own(tmp_path: Path) -> None:
    line = RedLine("wrong_ratio", 2.0, cohort="carrier", value="VX")
    declared = cohorted(LINES[0], line)
    declared = replace(declared, rollout=declared.rollout and replace(declared.rollout, outcome_age=MINUTE))
    service = Service(tmp_path / "s", declared, carriers=CARRIERS)
    service.serve(1, outcomes=True)
    start_rollout(service.folder, "m", "v2")
    service.look()
    for _ in range(4):
        service.serve(1, outcomes=True)
        service.look()
    rows = {row[:2]: row for row in status_of(service.folder, "m").table("metrics").rows}
    units = rows["wrong_ratio of carrier VX", "v2"][2]
    assert isinstance(units, int)
    assert 150 < units < 350


OF_VALUES = (
    RedLine("latency_seconds", 1.25),
    RedLine("latency_seconds", 1.25, cohort="carrier", value="VX"),
    RedLine("cost_usd", 1.2, cohort="carrier", value="VX"),
)


@pytest.mark.parametrize("slow", ["latency_seconds", "cost_usd"])
def test_a_candidate_that_is_slower_or_dearer_in_one_cohort_is_rolled_back(tmp_path: Path, slow: str) -> None:
    lines = (OF_VALUES[0], *(one for one in OF_VALUES[1:] if one.metric == slow))
    stable, candidate = (Behaviour(cost_usd=0.01, times_of={"VX": times}) for times in (3.0, 5.0))
    service = Service(tmp_path / "s", cohorted(*lines), {"v1": stable, "v2": candidate}, carriers=CARRIERS)
    stable.cost_usd = 0.011  # a cost that never varies has no scale
    service.serve(1)
    stable.cost_usd = 0.01
    rollout, _ = start_rollout(service.folder, "m", "v2")
    mean = {name: usual.mean for name, usual in rollout.usual.items()}
    assert mean[f"{slow} of carrier VX"] == pytest.approx(3.0 / 1.2 * mean[slow], rel=0.1)
    service.look()
    moved = service.until_over()[-1]
    assert moved.decision.action == "roll_back"
    assert f"{slow} of carrier VX" in moved.decision.said
    row = {row[:2]: row for row in status_of(service.folder, "m").table("metrics").rows}[lines[1].name, "v1"]
    assert row[3] == pytest.approx(mean[lines[1].name], rel=0.1)


def test_a_healthy_candidate_passes_red_lines_on_values_of_a_cohort(tmp_path: Path) -> None:
    alike = Behaviour(times_of={"VX": 3.0})
    service = Service(tmp_path / "s", cohorted(*OF_VALUES[:2]), {"v1": alike, "v2": alike}, carriers=CARRIERS)
    service.serve(1)
    start_rollout(service.folder, "m", "v2")
    service.look()
    assert [one.decision.action for one in service.until_over(looks=30)][-2:] == ["promote", "finish"]


def test_a_cohort_of_which_too_little_is_known_has_no_red_line_on_its_values(tmp_path: Path) -> None:
    service = Service(tmp_path / "s", cohorted(*OF_VALUES[:2]), carriers=CARRIERS, rate=1000)
    with pytest.raises(UsageError, match="of v1 of the last 7 d says its latency_seconds of carrier VX") as refused:
        start_rollout(service.folder, "m", "v2")
    assert "record some first, 200 for" in refused.value.hint
    service.serve(2)
    start_rollout(service.folder, "m", "v2")


@pytest.mark.parametrize(
    ("candidate", "line"),
    [
        (Behaviour(cost_usd=0.01, times_of={"VX": 1.5}), OF_VALUES[2]),
        (Behaviour(errors_of={"VX": 0.3}), LINES[1]),
        (Behaviour(wrong=0.4), RedLine("wrong_ratio", 1.5, cohort="carrier", value="VX")),
        (Behaviour(), LINES[1]),
    ],
)
def test_in_shadow_a_cohort_is_looked_at_too(tmp_path: Path, candidate: Behaviour, line: RedLine) -> None:
    declared = cohorted(RedLine("error_ratio", 20.0), line)
    rules = declared.rollout and replace(declared.rollout, shadow=5 * MINUTE, outcome_age=2 * MINUTE)
    versions = {"v1": Behaviour(cost_usd=0.011), "v2": candidate}
    service = Service(tmp_path / "s", replace(declared, rollout=rules), versions, carriers=CARRIERS)
    versions["v1"].cost_usd = 0.01
    service.serve(1, outcomes=True)
    service.wait(3 * MINUTE)
    start_rollout(service.folder, "m", "v2")
    service.look()
    for _ in range(5):
        service.serve(1, outcomes=True)
        service.look()
    last = events_of(service.layout, "m/v2/1")[-1]
    assert last.phase == ("rolled_back" if candidate != Behaviour() else "canary")
    assert line.name in last.said or candidate == Behaviour()


@pytest.mark.parametrize("shadow", [30 * MINUTE, 0])
def test_evidence_of_an_older_setpoint_goes_on_and_what_it_did_not_look_at_begins_anew(
    tmp_path: Path, shadow: int
) -> None:
    lines = (RedLine("wrong_ratio", 1.5), RedLine("wrong_ratio", 1.5, cohort="carrier", value="VX"))
    declared = cohorted(*lines)
    rules = replace(RULES, steps=(0.5,), last_soak=MINUTE, red_lines=lines, shadow=shadow, outcome_age=2 * MINUTE)
    versions = {"v1": Behaviour(), "v2": Behaviour()}
    service = Service(tmp_path / "s", replace(declared, rollout=rules), versions, carriers=CARRIERS, rate=4000)
    service.serve(1, outcomes=True)
    service.wait(3 * MINUTE)
    rollout, _ = start_rollout(service.folder, "m", "v2")
    service.look()

    def serve(minutes: int) -> str:
        for _ in range(minutes):
            service.serve(1, outcomes=True)
            service.look()
        return events_of(service.layout, "m/v2/1")[-1].phase

    def anew() -> list[str]:
        told = (one.decision for one in decisions_of(service.layout, subject="m/v2/1"))
        return [one.said for one in told if one.action == "begin_anew"]

    serve(3)
    own = replace(rollout, rollout_id=f"{rollout.rollout_id}/shadow") if shadow else rollout
    last = last_look(service.layout, own)
    whole = msgspec.json.decode(last.state)
    kept = whole if shadow else whole["judge"]
    older = Judge([Paired(Counted("wrong_ratio", 1.5)) if shadow else Counted("wrong_ratio", 1.5)])
    older.take_over(msgspec.json.encode(kept))
    state = older.dumps() if shadow else msgspec.json.encode({**whole, "judge": msgspec.Raw(older.dumps())})
    take(service.layout, own, last, Look(last.number + 1, last.until, state), {})

    assert serve(1) == ("shadow" if shadow else "canary")
    assert anew() == ["wrong_ratio of carrier VX: looked at otherwise than before, so evidence begins anew"]
    after = msgspec.json.decode(last_look(service.layout, own).state)
    taken = (after if shadow else after["judge"])["state"]["taken"]
    assert taken["wrong_ratio"] != taken[lines[1].name]  # the one went on, the other began
    versions["v2"].wrong = 0.5
    assert serve(6) == "rolled_back"
    assert len(anew()) == 1


def test_a_rehearsal_makes_a_cohort_worse_and_finds_it(tmp_path: Path) -> None:
    lines = (
        RedLine("error_ratio", 3.0),
        RedLine("error_ratio", 20.0, cohort="carrier", value="VX"),
        RedLine("latency_seconds", 1.4, cohort="carrier", value="VX"),
    )
    service = Service(tmp_path / "s", cohorted(*lines), {"v1": Behaviour(errors=0.02)}, carriers=CARRIERS)
    service.serve(9)
    told = rehearse_rollout(service.folder, "m", runs=5).table("rehearsal")
    rows = {row[0]: row[2:5] for row in told.rows}  # promoted, rolled back, undecided
    assert list(rows) == ["no worse", *(line.name for line in lines)]
    assert rows["error_ratio of carrier VX"][1] == rows["latency_seconds of carrier VX"][1] == 5
    assert rows["no worse"][1] == 0
    assert told.lines[2][0] == "error_ratio of carrier VX x 20"


def test_a_cohort_that_never_occurs_is_refused(tmp_path: Path) -> None:
    service = Service(tmp_path / "s", cohorted(replace(LINES[1], value="HA")), carriers=CARRIERS)
    with pytest.raises(UsageError, match="error_ratio of carrier HA: carrier HA never occurred"):
        start_rollout(service.folder, "m", "v2")
    service.layout.declare(cohorted(replace(LINES[1], cohort="airline")))
    with pytest.raises(UsageError, match="no cohort is called airline"):
        start_rollout(service.folder, "m", "v2")
    (tmp_path / "models").mkdir()
    (tmp_path / "setpoint.yaml").write_text("store: ./s\n")
    text = "cohorts: [carrier]\nrollout:\n  cohort_red_lines:\n    carrier: {HA: {error_ratio: 3}}\n"
    (tmp_path / "models" / "m.yaml").write_text(text)
    with pytest.raises(DeclarationError, match="carrier HA never occurred"):
        plan(tmp_path).check()
    (tmp_path / "models" / "m.yaml").write_text(text.replace("HA", "VX"))
    plan(tmp_path).check()
    rules = load_project(tmp_path).models["m"].rollout
    assert rules is not None
    assert rules.red_lines == (RedLine("error_ratio", 3.0, cohort="carrier", value="VX"),)
    told = told_rollout(rules)
    assert told is not None
    assert told["cohort_red_lines"] == {"carrier": {"VX": {"error_ratio": 3.0}}}


def test_with_many_cohorts_a_healthy_candidate_is_still_rolled_back_at_most_once_in_a_hundred() -> None:
    rng, rolled_back = np.random.default_rng(6), 0
    names = ["all", *(f"cohort {n}" for n in range(5))]
    for _ in range(200):
        judge = Judge([Counted(name) for name in names])
        for _ in range(40):
            hits = rng.binomial(40, 0.05, (2, 5))
            held, tried = ({"all": (200, int(side.sum()))} for side in hits)
            held |= {name: (40, int(count)) for name, count in zip(names[1:], hits[0], strict=True)}
            tried |= {name: (40, int(count)) for name, count in zip(names[1:], hits[1], strict=True)}
            judge.update(held, tried)
        rolled_back += judge.judgement().is_worse
    assert rolled_back <= 5
