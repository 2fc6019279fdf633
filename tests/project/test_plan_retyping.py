"""A plan says what a declared kind makes of the rows there are; applying it mends the column."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from setpoint.control.loop import LEASE as TICKING
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, micros
from setpoint.core.errors import StoreBusy, UsageError
from setpoint.core.model import Model
from setpoint.predictions.recorder import Recorder
from setpoint.project.keeping import collect_garbage
from setpoint.project.log import open_log
from setpoint.project.plan import apply, plan
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.segments import SegmentWriter, new_header
from setpoint.store.shipper import LEASE as SHIPPING
from setpoint.store.spool import Spool

START = datetime(2026, 1, 1, tzinfo=UTC)
NUMERIC = "features: {amount: {kind: numeric}}\n"
SAID = (
    "fraud: amount is text in the store and declared numeric: 0 of 1 values fit, 1 goes to quarantine;"
    " 559 rows come back from quarantine"
)


def project(folder: Path, text: str) -> Path:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models" / "fraud.yaml").write_text(text)
    return folder


def spoiled(folder: Path, *, days: int = 14) -> Layout:
    """Record 40 predictions a day, the first with a bad amount, and tick; amounts rise in the second week."""
    layout = Layout.create(folder / "store", replay_now=micros(START))
    recorder = Recorder(layout, "fraud", version="v1", spool=Spool(layout))
    for n in range(days * 40):
        at = START + timedelta(days=n / 40)
        amount = "n/a" if n == 0 else n % 7 + 100.0 * (n >= days * 20)
        recorder.record({"amount": amount, "age": float(n % 50)}, score=n % 10 / 10, key=str(n), predicted_at=at)
        recorder.outcome(n % 10 > 4, key=str(n), observed_at=at)
    recorder.close()
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(micros(START) + days * DAY)
    clock.save()
    tick(layout)
    return layout


def answers(folder: Path) -> tuple[str, str, int]:
    """The answers to `diff` and `status`, and how many rows the profile of the amount rests on."""
    with open_log(folder / "store") as log:
        with log.evidence("fraud") as evidence:
            rows = evidence.profile(None).only(feature="amount", part="moments").total("rows")
        return log.diff("fraud").headline, log.status("fraud", over="14d").headline, int(rows)


def test_a_plan_says_what_a_kind_makes_of_the_rows_and_apply_does_it_once(tmp_path: Path) -> None:
    layout = spoiled(tmp_path)
    assert answers(tmp_path) == (
        "fraud: cannot compare: the reference window has no predictions",
        "fraud: cannot say whether it works: needs 10 more positive outcomes",
        1,
    )
    folder = project(tmp_path, NUMERIC)

    found = plan(folder)

    assert f"~ {SAID}" in found.text().splitlines()
    assert "  fraud: the next tick makes the summaries anew from rows" in found.text().splitlines()
    assert apply(folder).text() == found.text()
    assert plan(folder).is_empty
    assert apply(folder).is_empty
    mended = answers(tmp_path)
    assert mended == (
        "fraud: 1 of 2 features changed beyond chance: amount mean 3.011 → 103",
        "fraud: cannot say whether it works: no expectation is declared and there is nothing to compare with",
        559,
    )
    tick(layout)
    assert answers(tmp_path) == mended
    with open_log(layout.root) as log, log.evidence("fraud") as evidence:
        assert [one.note for one in evidence.changes(None) if one.kind == "config"] == [
            f"declared for the first time; {SAID.removeprefix('fraud: ')}"
        ]


def test_a_kind_that_was_in_force_before_mends_the_column_and_voids_its_states(tmp_path: Path) -> None:
    layout = spoiled(tmp_path)
    folder = project(tmp_path, NUMERIC)
    layout.declare(Model("fraud", features=plan(folder).models[0].model.features))
    tick(layout)

    found = plan(folder)

    assert [line for line in found.text().splitlines() if "storage" not in line] == [
        f"~ {SAID}",
        "  fraud: the next tick makes the summaries anew from rows",
    ]
    apply(folder)
    before_the_tick = answers(tmp_path)
    assert before_the_tick[2] == 559
    tick(layout)
    assert answers(tmp_path) == before_the_tick


def test_rows_of_a_service_that_was_not_started_again_come_back_with_the_next_apply(tmp_path: Path) -> None:
    layout = spoiled(tmp_path)
    recorder = Recorder(layout, "fraud", version="v1", spool=Spool(layout))
    recorder.record({"amount": "?"})
    assert recorder.flush()
    folder = project(tmp_path, NUMERIC)
    apply(folder)
    recorder.record({"amount": 5.0})
    recorder.close()

    assert "~ fraud: amount is declared numeric: 1 row comes back from quarantine" in plan(folder).text().splitlines()
    assert not plan(folder).models[0].voids
    apply(folder)
    assert answers(tmp_path)[2] == 560
    assert plan(folder).is_empty


@pytest.mark.parametrize("lease", [TICKING, SHIPPING])
def test_while_another_process_is_at_work_nothing_is_changed(tmp_path: Path, lease: str) -> None:
    layout = spoiled(tmp_path, days=1)
    folder = project(tmp_path, NUMERIC)
    with layout.lease(lease), pytest.raises(StoreBusy, match="a column cannot get another type") as refusal:
        apply(folder)
    assert refusal.value.hint == "run it again in a moment"
    assert layout.declaration("fraud") is None
    assert not apply(folder).is_empty


def test_what_is_not_shipped_yet_counts_too(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    header = new_header("fraud", "predictions", "p", 1, {}, {"amount": "VARCHAR"})
    writer = SegmentWriter(layout.spool("fraud", "predictions"), header, 0.0)
    for n, amount in enumerate(("n/a", "1.5")):
        line = f'{{"prediction_id":"{n}","root_id":"{n}","predicted_at":{n},"recorded_at":{n},'
        writer.append(f'{line}"inputs":{{"amount":"{amount}"}}}}\n'.encode())
    folder = project(tmp_path, NUMERIC)
    said = "amount is text in the store and declared numeric: 1 of 2 values fit, 1 goes to quarantine"
    assert f"~ fraud: {said}" in plan(folder).text().splitlines()
    apply(folder)
    assert plan(folder).is_empty
    assert answers(tmp_path)[2] == 1
    writer.close()
    tick(layout)
    assert answers(tmp_path)[2] == 1
    assert plan(folder).is_empty


def test_days_whose_rows_were_let_go_are_not_lost_by_the_way(tmp_path: Path) -> None:
    layout = spoiled(tmp_path)
    text = f"{NUMERIC}retention: {{age: 4d}}\noutcome_horizon: 1d\n"
    folder = project(tmp_path, text)
    layout.declare(plan(folder).models[0].model)
    tick(layout)
    collect_garbage(layout.root)

    with pytest.raises(UsageError, match="were let go") as refusal:
        apply(folder)

    assert refusal.value.hint == "leave features.amount.kind as before, or apply with --lose-history"
    apply(folder, lose_history=True)
    assert plan(folder).is_empty


def test_a_new_store_and_an_undeclared_kind_have_nothing_to_mend(tmp_path: Path) -> None:
    assert not plan(project(tmp_path, NUMERIC)).models[0].retypings
    spoiled(tmp_path, days=1)
    assert not plan(project(tmp_path, "features: [amount]\n")).models[0].retypings
