"""Runbooks: their checks run on the incident's own rows, say what follows, and cannot rot."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.commands import setpoint
from tests.control.drifted import slow_drift
from tests.control.served import OWNED, Service

from setpoint.control.loop import tick
from setpoint.control.runbooks import run_runbook, runbook_for, runbooks_of
from setpoint.core.errors import DeclarationError
from setpoint.core.guardrail import Guardrail
from setpoint.core.incident import Incident
from setpoint.core.model import Model
from setpoint.core.runbook import RunbookCheck
from setpoint.declare.runbook import shipped_runbooks
from setpoint.project.incidents import report
from setpoint.project.plan import apply
from setpoint.project.runbooks import asking, run_for, try_all
from setpoint.store.incidents import incidents_of
from setpoint.testing import Behaviour

ERRORS = Guardrail("too-many-errors", "error_ratio", above=0.05, mode="propose")


def test_an_incident_opens_with_what_its_runbook_found(tmp_path: Path) -> None:
    found = Service(tmp_path / "s", replace(OWNED, guardrails=(ERRORS,)), {"v1": Behaviour(0.3)})
    tick(found.layout, ask=asking(found.folder))
    ((incident, events),) = incidents_of(found.layout)
    assert incident.subject == "too-many-errors"
    told = [event.said for event in events if event.kind == "check"]
    assert any(one.startswith("requests-are-answered: not well: more than one request in twenty fails") for one in told)
    (verdict,) = [event.said for event in events if event.kind == "verdict"]
    assert verdict.startswith("rollback: take back what was changed")  # v1 was first seen a minute before
    tick(found.layout, ask=asking(found.folder))
    assert len([event for event in incidents_of(found.layout)[0][1] if event.kind == "verdict"]) == 1


@pytest.mark.parametrize("name", ["inputs-changed", "over-flagging"])
@pytest.mark.parametrize("days", [1, 8])
def test_a_pipeline_that_came_with_slow_drift_is_new_however_long_that_took_to_be_seen(
    tmp_path: Path, name: str, days: int
) -> None:
    layout, incident = slow_drift(tmp_path / "s", days=days)
    results, _ = run_runbook(layout, incident, shipped_runbooks()[name], None)
    seen = {one.name: one for one in results}["same-pipelines"]
    # Drift of one day has nothing to do with a pipeline that came a week ago; one of eight days may have come with it.
    assert seen.is_well is (days == 1)
    assert ("web normaliser-8" in seen.said) is (days == 8)


@pytest.mark.parametrize("name", sorted(shipped_runbooks()))
def test_every_check_of_every_shipped_runbook_runs_on_a_recorded_incident(tmp_path: Path, name: str) -> None:
    found = Service(tmp_path / "s")
    report(found.folder, "m", "a drill")
    found.serve(1, outcomes=True)
    incident, runbook, results, _ = run_for(found.folder, "0001", name)
    assert incident.models == ("m",)
    assert [one.name for one in results] == [check.name for check in runbook.checks]
    assert [one.said for one in results if one.is_well is None] == []


def test_a_check_that_cannot_be_run_says_why_and_stops_no_other(tmp_path: Path) -> None:
    found = Service(tmp_path / "s")
    opened, _ = report(found.folder, "m", "a drill")
    checks = (
        RunbookCheck("bad sql", "n > 0", query="SELECT nothing FROM nowhere"),
        RunbookCheck("writes", "n > 0", query="DELETE FROM predictions"),
        RunbookCheck("no program", "exit_code = 0", command=("no-such-program",)),
        RunbookCheck("unknown", "other > 0", query="SELECT 1 AS n"),
        RunbookCheck("program", "exit_code = 0 AND output = 'fine'", command=(sys.executable, "-c", "print('fine')")),
        RunbookCheck("asks", "verdict = 'ok'", answer="route"),
    )
    book = replace(shipped_runbooks()["quality-fell"], checks=checks, decide=())
    results, rule = run_runbook(found.layout, opened, book, asking(found.folder))
    assert [one.is_well for one in results] == [None, None, None, None, True, True]
    assert "nowhere" in results[0].said
    assert "no-such-program" in results[2].said
    assert results[3].said == "`other > 0` cannot be told of n 1"
    assert rule is None


def test_the_models_own_runbook_goes_first_when_it_is_for_such_incidents() -> None:
    books = shipped_runbooks()
    incident = Incident("1", ("m",), "broken_contract", "x", "t", "ticket", 0, 0, "broken_contract")
    own = replace(books["inputs-changed"], name="own", when=("broken_contract",))
    model = Model("m", runbook="own")
    assert runbook_for(incident, model, {**books, "own": own}) == own
    assert runbook_for(incident, Model("m", runbook="cost-rose"), books) == books["inputs-changed"]
    assert (
        runbook_for(replace(incident, kind="odd_score"), Model("m", runbook="cost-rose"), books) == books["cost-rose"]
    )
    assert runbook_for(replace(incident, kind="odd_score"), Model("m"), books) is None


PROJECT = {
    "setpoint.yaml": "store: ./s\n",
    "models/m.yaml": "owner: {team: risk}\nrunbook: ours\n",
    "runbooks/ours.yaml": "version: 2\ntitle: Ours\nwhen: [reported]\nchecks:\n"
    "- {name: rows, query: SELECT count(*) AS n FROM predictions, expect: n >= 0}\n"
    "decide:\n- {verdict: ignore, said: it is a drill}\n",
    "runbooks/ours.md": "Call the shop first.\n",
}


def project(folder: Path, **other: str) -> Path:
    for name, text in {**PROJECT, **{key.replace("__", "/") + ".yaml": text for key, text in other.items()}}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_projects_runbook_is_applied_run_and_shown(tmp_path: Path) -> None:
    found = Service(tmp_path / "s")
    assert "runbooks: ours (version 2)" in apply(project(tmp_path)).text()
    report(found.folder, "m", "a drill")
    incident, book, results, rule = run_for(found.folder, "0001")
    assert (book.name, book.text) == ("ours", "Call the shop first.\n")
    assert results[0].is_well
    assert rule is not None
    assert rule.verdict == "ignore"
    assert incidents_of(found.layout)[0][1][-1].said == "ignore: it is a drill (runbook ours, version 2)"
    assert all(one.is_well is not None for _, ran in try_all(found.folder) for one in ran)
    assert "Call the shop first." in setpoint("runbook", "show", "ours", cwd=tmp_path).stdout
    assert setpoint("runbook", "test", cwd=tmp_path).returncode == 0
    assert "ours" in runbooks_of(found.layout)
    assert incident.found_by.startswith("person")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"models__m": "runbook: quality-fel\n"}, "expected the name of a runbook"),
        ({"runbooks__bad": "version: 1\ntitle: t\nwhen: [x]\nchecks: [{name: a, expect: n > 0}]\n"}, "none of answer"),
        (
            {
                "runbooks__bad": "version: 1\ntitle: t\nwhen: [x]\n"
                "checks: [{name: a, query: SELECT 1, expect: n > 0}]\n"
                "decide: [{failed: [b], verdict: v, said: s}]\n"
            },
            "a rule on b, which is no check",
        ),
        ({"runbooks__bad": "version: 1\ntitle: t\nwhen: [x]\nchecks: [{name: a, query: q, expect: 'n >'}]\n"}, "n >"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_file(tmp_path: Path, other: dict[str, str], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        apply(project(tmp_path, **other))
