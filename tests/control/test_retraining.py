"""Retraining: by declaration, one at a time, never on drift alone; what comes of it is a candidate in shadow."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.commands import setpoint
from tests.control.served import OWNED, Service

from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.contacts import Contacts, Person
from setpoint.core.errors import DeclarationError, StoreBusy, UsageError
from setpoint.core.guardrail import Guardrail
from setpoint.core.retraining import Retraining, RetrainingRules
from setpoint.core.rollout import Phase
from setpoint.project.datasets import build
from setpoint.project.retraining import begin_retraining, list_retrainings, run_retraining, training
from setpoint.project.rollouts import move
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.incidents import incidents_of
from setpoint.store.layout import Layout
from setpoint.store.messages import messages_of
from setpoint.store.retrainings import retrainings_of
from setpoint.store.rollouts import rollouts_of
from setpoint.testing import Behaviour

PRINTS_V9 = "import os; assert os.path.exists(os.environ['SETPOINT_DATASET']); print('v9')"
LOW = Guardrail("low", "accuracy", below=0.8, actions=("retrain",), mode="act")


def trained_by(code: str, **rules: int) -> RetrainingRules:
    return replace(RetrainingRules((sys.executable, "-c", code)), **rules)


def service(folder: Path, rules: RetrainingRules | None, *guardrails: Guardrail, wrong: float = 0.5) -> Service:
    model = replace(OWNED, guardrails=guardrails, retraining=rules, outcome_horizon=DAY)
    found = Service(folder, model, {"v1": Behaviour(wrong=wrong), "v9": Behaviour()}, rate=500)
    found.serve(2, outcomes=True)
    found.wait(HOUR // 4)
    return found


def ran(layout: Layout) -> Retraining:
    """Wait until the process that a tick started is gone, and return what it wrote."""
    for thread in threading.enumerate():
        if thread.name.startswith("m/"):
            thread.join()
    return retrainings_of(layout, "m")[-1]


def test_a_guardrail_on_quality_trains_anew_and_the_version_is_a_candidate_in_shadow(tmp_path: Path) -> None:
    found = service(tmp_path / "s", trained_by(PRINTS_V9), LOW)
    decided = tick(found.layout, train=training(found.folder)).decided
    assert [(one.decision.action, one.is_carried_out) for one in decided] == [("retrain", True)]
    one = ran(found.layout)
    assert (one.state, one.version, one.actor) == ("done", "v9", "guardrail"), one.said
    (rollout,) = rollouts_of(found.layout, "m")
    assert (rollout.candidate, rollout.rules.shadow) == ("v9", DAY)
    moved = move(found.folder, "m")
    assert moved is not None
    assert moved.event is not None
    assert moved.event.phase is Phase.SHADOW
    assert tick(found.layout, train=training(found.folder)).decided == []
    shown = list_retrainings(found.folder)
    assert (shown.headline, shown.tables[0].rows[0][2]) == ("1 retraining, 0 under way", "done")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(3)", "the command ended with 3"),
        ("raise ValueError('no column amount')", "the command ended with 1: ValueError: no column amount"),
        ("print('two words')", "found 'two words' as the name of the new version"),
        ("", "found '' as the name of the new version"),
        ("import os, signal; os.kill(os.getppid(), signal.SIGKILL)", "its process ended without a word"),
    ],
)
def test_a_command_that_makes_no_version_is_a_finding_until_the_next(tmp_path: Path, code: str, said: str) -> None:
    found = service(tmp_path / "s", trained_by(code))
    begin_retraining(found.folder, "m", reason="it is old", actor="ada")
    tick(found.layout, train=training(found.folder))
    ran(found.layout)
    found.wait(HOUR)
    tick(found.layout)
    one = retrainings_of(found.layout, "m")[-1]
    assert one.state == "failed"
    assert one.said.startswith(said)
    assert not rollouts_of(found.layout, "m")
    assert [one.kind for one in open_findings(read_findings(found.layout, "m"))] == ["failed_retraining"]
    assert [one.kind for one, _ in incidents_of(found.layout)] == ["failed_retraining"]
    found.wait(7 * DAY)
    begin_retraining(found.folder, "m", reason="again", actor="ada")
    tick(found.layout)
    assert not [one for one in open_findings(read_findings(found.layout, "m")) if one.kind == "failed_retraining"]


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    waits = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import signal; signal.pause()'])"
    found = service(tmp_path / "s", trained_by(waits, timeout=1_000_000))
    begin_retraining(found.folder, "m", reason="it is old")
    assert run_retraining(found.folder, "m/1").said == "the command took longer than 1 s"


def test_one_at_a_time_and_not_again_for_a_while(tmp_path: Path) -> None:
    found = service(tmp_path / "s", trained_by(PRINTS_V9, cool_down=0), LOW)
    tick(found.layout)
    with pytest.raises(StoreBusy, match="retraining m/1 of m is under way"):
        begin_retraining(found.folder, "m", reason="more")
    assert run_retraining(found.folder, "m/1").state == "done"
    with pytest.raises(StoreBusy, match="somebody else took retraining m/1 on"):
        run_retraining(found.folder, "m/1")
    found.layout.declare(replace(found.declared, retraining=trained_by(PRINTS_V9)))
    with pytest.raises(UsageError, match="m was trained anew since"):
        begin_retraining(found.folder, "m", reason="more")
    found.layout.declare(replace(found.declared, retraining=None))
    with pytest.raises(UsageError, match="nobody declared how m is trained"):
        begin_retraining(found.folder, "m", reason="more")


def test_a_version_is_trained_and_waits_where_a_rollout_is_under_way(tmp_path: Path) -> None:
    found = service(tmp_path / "s", trained_by("print('v1')"))
    begin_retraining(found.folder, "m", reason="it is old")
    one = run_retraining(found.folder, "m/1")
    assert (one.state, one.version) == ("done", "v1")
    assert one.said == "v1 is trained, and no candidate yet: v1 is the stable version of m already"


def test_a_webhook_is_told_where_the_data_lies_and_says_later_what_came_of_it(tmp_path: Path) -> None:
    found = service(tmp_path / "s", RetrainingRules(webhook="airflow"))
    found.layout.put_contacts(Contacts({"airflow": Person("airflow", "https://jobs.example/train")}))
    store = str(found.folder)
    assert setpoint("retrain", "start", "m", "--reason", "it is old", "--store", store, cwd=tmp_path).returncode == 0
    assert setpoint("retrain", "run", "m/1", "--store", store, cwd=tmp_path).stdout == "m/1 is asked: airflow is told\n"
    (message,) = messages_of(found.layout)
    body = json.loads(message.body)
    assert Path(body["dataset"]).exists()
    assert body["examples"] > 900
    assert body["next"] == "setpoint retrain done m/1 VERSION"
    told = setpoint("retrain", "done", "m/1", "v9", "--store", store, cwd=tmp_path)
    assert told.stdout == "v9 is a candidate in shadow: rollout m/v9/1\n"
    again = setpoint("retrain", "done", "m/1", "v9", "--store", store, cwd=tmp_path)
    assert again.returncode == 2
    assert "retraining m/1 is done" in again.stderr
    assert "retraining is called 'm/7'" in setpoint("retrain", "run", "m/7", "--store", store, cwd=tmp_path).stderr


@pytest.mark.parametrize(
    "told",
    [
        {"finding": "gross_drift"},
        {"finding": "input_drift"},
        {"finding": "broken_contract"},
        {"metric": "error_ratio", "above": 0.1},
        {"metric": "base_rate", "above": 0.1},
    ],
)
def test_drift_alone_cannot_retrain(told: dict[str, object]) -> None:
    with pytest.raises(DeclarationError, match="says nothing about outcomes, so it cannot retrain"):
        Guardrail("g", actions=("retrain",), **told)  # pyright: ignore[reportArgumentType] — fields of a guardrail


def test_rows_of_a_frozen_time_stay_out_of_training_data_when_it_is_over(tmp_path: Path) -> None:
    kept, frozen = (
        service(tmp_path / action, None, replace(LOW, actions=(action,)), wrong=0.5)
        for action in ("ticket", "freeze_training")
    )
    for found in (kept, frozen):
        tick(found.layout)
        found.versions["v1"].wrong = 0.0
        found.wait(2 * HOUR)
        found.serve(4, outcomes=True)
        found.wait(HOUR // 4)
        tick(found.layout)
        assert not open_findings(read_findings(found.layout, "m"))
        found.serve(4, outcomes=True)
        found.wait(HOUR // 4)
    built = build(kept.layout, "m", tmp_path / "kept.parquet")
    assert [reason for reason in built.selection.excluded if "finding" in reason] == []
    built = build(frozen.layout, "m", tmp_path / "frozen.parquet")
    (reason,) = [reason for reason in built.selection.excluded if "finding" in reason]
    assert reason.startswith("closed finding: guardrail low since")
    assert built.selection.kept > 1900  # those of the four minutes after it was over


def test_a_guardrail_tells_a_webhook(tmp_path: Path) -> None:
    told = replace(LOW, actions=("webhook",), webhook="https://jobs.example/act")
    found = service(tmp_path / "s", None, told)
    (one,) = tick(found.layout).decided
    assert one.is_carried_out
    assert one.decision.said.endswith("https://jobs.example/act is told")
    bodies = [json.loads(message.body) for message in messages_of(found.layout)]
    assert [body["guardrail"] for body in bodies] == ["low"]
    with pytest.raises(DeclarationError, match="expected the action webhook and where to"):
        replace(LOW, actions=("webhook",))
