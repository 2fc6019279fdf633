"""Keys of a model's file are set by a command: all else in it stays, and what does not hold is not written."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.commands import setpoint

from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout

FILE = """# loans of the north
name: loans  # as in the warehouse
owner: null  # to fill in

# where they come from
cohorts:
  - channel  # the only one
guardrails:
  - {name: slow, metric: latency_p95, above: 2}
features: {channel: {kind: categorical}, amount: {kind: numeric}}
"""

OWNER = "owner={team: credit, on_call: https://pager.example}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "setpoint.yaml").write_text("store: ./store\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "loans.yaml").write_text(FILE)
    return tmp_path


def declare(folder: Path, *settings: str) -> CompletedProcess[str]:
    return setpoint("declare", "loans", *settings, cwd=folder)


def text(folder: Path) -> str:
    return (folder / "models" / "loans.yaml").read_text()


def test_keys_are_set_and_put_in_force_and_all_else_stays_as_it_is_written(folder: Path) -> None:
    found = declare(
        folder,
        OWNER,
        "rates.per_month_usd=200",
        "runbook=quality-fell",
    )
    assert found.returncode == 0, found.stderr
    assert "+ model loans" in found.stdout
    changed = FILE.replace("owner: null  # to fill in\n", 'owner: {team: credit, on_call: "https://pager.example"}\n')
    assert text(folder) == changed + "rates: {per_month_usd: 200}\nrunbook: quality-fell\n"
    model = Layout.open(folder / "store").model("loans")
    assert (model.runbook, model.owner and model.owner.on_call) == ("quality-fell", "https://pager.example")
    assert declare(folder, "runbook=quality-fell").stdout == "nothing to change\n"


def test_one_key_within_another_is_set_and_a_key_is_taken_out(folder: Path) -> None:
    assert declare(folder, OWNER, "runbook=quality-fell").returncode == 0
    found = declare(folder, "owner.team=risk", "runbook=")
    assert found.stdout.splitlines() == [
        "~ loans.owner.team: credit -> risk",
        "~ loans.runbook: quality-fell -> not set",
    ]
    assert 'owner: {team: risk, on_call: "https://pager.example"}\n' in text(folder)
    assert "runbook" not in text(folder)


def test_what_is_added_to_a_list_takes_the_place_of_what_has_its_name(folder: Path) -> None:
    assert declare(folder, "guardrails+={name: failing, metric: error_ratio, above: 0.1}").returncode == 0
    found = declare(folder, "guardrails+={name: slow, metric: latency_p95, above: 3}", "cohorts+=channel")
    assert found.returncode == 0, found.stderr
    named = [(one.name, one.above) for one in Layout.open(folder / "store").model("loans").guardrails]
    assert named == [("slow", 3.0), ("failing", 0.1)]
    assert text(folder).count("- channel") == 1


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("runbok=quality-fell", "did you mean runbook?"),
        ("runbook=quality-fel", "quality-fell"),
        ("runbook", "write KEY=VALUE"),
        (".team=x", "write KEY=VALUE"),
        ("owner={team: [", "owner={team: [:1: not YAML"),
        ("name.first=x", "name has no keys"),
        ("owner+=x", "owner: found a list, expected a mapping"),
        ("quality={auc: {at_least: 80}}", "write 80 % as 0.8"),
        ("cohorts.channel+=x", "cohorts has no keys"),
        ("name+=x", "name is no list"),
    ],
)
def test_what_does_not_hold_is_refused_and_the_file_left_as_it_was(folder: Path, setting: str, said: str) -> None:
    found = declare(folder, setting)
    assert found.returncode == 2
    assert said in found.stderr
    assert text(folder) == FILE


def test_a_file_alone_is_written_and_a_model_without_one_refused(folder: Path) -> None:
    found = declare(folder, "runbook=quality-fell", "--no-apply")
    assert found.returncode == 0
    assert "setpoint apply" in found.stderr
    assert text(folder) == FILE + "runbook: quality-fell\n"
    assert not (folder / "store").exists()
    missing = setpoint("declare", "loan", "runbook=quality-fell", cwd=folder)
    assert (missing.returncode, "did you mean loans?" in missing.stderr) == (2, True)


def test_what_cannot_be_put_in_force_is_not_written(folder: Path) -> None:
    assert setpoint("apply", cwd=folder).returncode == 0
    with closing(Recorder(folder / "store", "loans", version="v1")) as recorder:
        recorder.record({"channel": "web", "amount": 3.0}, score=0.5, key="a")
    found = declare(folder, "guardrails+={name: late, metric: recall, below: 0.5, over: 7d}")
    assert found.returncode == 2
    assert "nothing feeds recall" in found.stderr
    assert text(folder) == FILE
