"""A file, and a model's own predictions, held against what its inputs promise."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

import setpoint
from setpoint import Contract, ContractField, OnViolation, RowCondition
from setpoint.answers.answer import Answer
from setpoint.answers.contract_reports import junit, markdown
from setpoint.core.clock import micros
from setpoint.core.errors import UsageError
from setpoint.core.model import Feature, Model, TrainingData
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.predictions.recorder import Recorder
from setpoint.project.datasets import build
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

NOW = micros(datetime(2026, 1, 10, tzinfo=UTC))
CONTRACT = Contract(
    (
        ContractField("delay", at_least=-60, at_most=600, required=True),
        ContractField("carrier", allowed=("AA", "DL"), missing_ratio=0.25),
        ContractField("seen_at", fresh_within=2 * 86_400_000_000),
    ),
    (RowCondition("sane", "delay < 100 OR carrier = 'AA'"),),
    rows_at_least=2,
)


def found(answer: Answer, column: str) -> dict[str, object]:
    table = answer.table("rules")
    place = table.columns.index(column)
    return {str(row[0]): row[place] for row in table.rows}


def frame(**columns: object) -> pl.DataFrame:
    usual = {"delay": [1.0, 2.0, 3.0, 4.0], "carrier": ["AA", "DL", "AA", None]}
    times = [datetime(2026, 1, 9, hour, tzinfo=UTC) for hour in range(4)]
    return pl.DataFrame({**usual, "seen_at": times, **columns})


def test_a_table_that_keeps_its_contract_is_ok() -> None:
    answer = setpoint.check(frame(), CONTRACT, as_of=NOW)
    assert answer.verdict is Verdict.OK
    assert answer.headline == "the contract is kept: 11 rules in 4 rows of the table"
    assert answer.exit_code == 0


@pytest.mark.parametrize(
    ("columns", "rule", "count"),
    [
        ({"delay": [1.0, math.inf, 3.0, 4.0]}, "delay.finite", 1),
        ({"delay": [1.0, math.nan, None, 4.0]}, "delay.required", 2),
        ({"delay": ["1", "2", "3", "4"]}, "delay.kind", 4),
        ({"delay": [1.0, 601.0, 3.0, 4.0]}, "delay.range", 1),
        ({"carrier": ["AA", "ZZ", "ZZ", "AA"]}, "carrier.allowed", 2),
        ({"carrier": ["AA", None, None, "AA"]}, "carrier.missing", 2),
        ({"delay": [1.0, 500.0, 3.0, 4.0]}, "row.sane", 1),
    ],
)
def test_what_is_broken_is_counted_and_a_breach(columns: dict[str, object], rule: str, count: int) -> None:
    answer = setpoint.check(frame(**columns), CONTRACT, as_of=NOW)
    assert found(answer, "broken_total")[rule] == count
    assert found(answer, "verdict")[rule] == "breach"
    assert answer.exit_code == 1


def test_what_is_asked_of_a_whole_table() -> None:
    old = setpoint.check(frame(), CONTRACT, as_of=NOW + 3 * 86_400_000_000)
    assert found(old, "verdict")["seen_at.freshness"] == "breach"
    few = setpoint.check(frame().head(1), CONTRACT, as_of=NOW)
    assert found(few, "verdict")["table.row_count"] == "breach"
    twice = setpoint.check(frame(), Contract((ContractField("carrier", unique=True),)))
    assert found(twice, "broken_total")["carrier.unique"] == 1


def test_a_share_of_broken_rows_may_be_tolerated() -> None:
    table = frame(delay=[1.0, 900.0, 3.0, 4.0])
    for tolerance, verdict in ((0.25, Verdict.OK), (0.2, Verdict.BREACH)):
        field = ContractField("delay", at_most=600, tolerance=tolerance)
        assert setpoint.check(table, Contract((field,))).verdict is verdict


def test_a_rule_on_trial_is_counted_and_breaks_nothing() -> None:
    trial = Contract((ContractField("delay", at_most=2, on_violation=OnViolation.SHADOW),))
    answer = setpoint.check(frame(), trial)
    assert answer.verdict is Verdict.OK
    assert found(answer, "broken_total")["delay.range"] == 2
    assert "on trial" in answer.text()


def test_a_table_without_rows_says_nothing_and_never_fine() -> None:
    nothing = setpoint.check(frame().head(0), Contract(CONTRACT.fields), as_of=NOW)
    assert nothing.verdict is Verdict.UNKNOWN
    assert nothing.exit_code == 3
    assert setpoint.check(frame().head(0), CONTRACT).exit_code == 1  # it promises two rows


def test_a_column_that_is_not_there_is_said() -> None:
    answer = setpoint.check(frame().drop("carrier", "delay"), CONTRACT, as_of=NOW)
    assert found(answer, "verdict")["delay.required"] == "breach"
    assert found(answer, "verdict")["carrier.allowed"] == "warning"
    assert found(answer, "said")["row.sane"] == "there is no column carrier, delay"
    assert "no column for delay, carrier" in answer.because


def test_what_has_no_column_is_never_said_to_be_kept() -> None:
    gone = (
        ContractField("gone", at_least=0, missing_ratio=1.0),
        ContractField("key", unique=True),
        ContractField("tried", at_least=0, on_violation=OnViolation.SHADOW),
    )
    conditions = (RowCondition("known", "delay > 0 OR gone > 0"), RowCondition("filled", "coalesce(gone, 0) > delay"))
    answer = setpoint.check(frame(), Contract((*gone, ContractField("delay", at_least=0)), conditions))
    verdicts = found(answer, "verdict")
    assert {rule for rule, verdict in verdicts.items() if verdict == "ok"} == {
        *("delay.kind", "delay.finite", "delay.range", "tried.kind", "tried.finite", "tried.range"),
    }
    assert verdicts["row.filled"] == "breach"
    assert str(found(answer, "said")["row.filled"]).startswith("not coalesce(gone, 0) > delay in 4 of 4 rows")
    optional = setpoint.check(frame(), Contract((ContractField("delay", at_least=0), ContractField("z", at_least=0))))
    assert optional.verdict is Verdict.WARNING
    assert optional.headline == "3 of 6 rules kept in the table, and nothing broken; no column for z"
    late = setpoint.check(frame(), Contract((ContractField("seen", fresh_within=1),)))
    assert late.unknowns == ("seen.freshness: there is no column seen",)


@pytest.mark.parametrize("text", ["a,b,t\n", "a,b,t", "delay\n", "y,n\n"])
def test_a_header_is_no_row(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8")
    answer = setpoint.check(path, Contract(rows_at_least=1))
    assert answer.verdict is Verdict.BREACH
    assert found(answer, "said")["table.row_count"] == "0 rows, expected at least 1 rows"


def test_texts_of_a_csv_may_be_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("delay,carrier\n1,AA\nn/a,DL\n 900 ,AA\n,DL\n", encoding="utf-8")
    broken = found(setpoint.check(str(path), Contract(CONTRACT.fields[:2])), "broken_total")
    assert {rule: n for rule, n in broken.items() if n} == {"delay.required": 1, "delay.kind": 1, "delay.range": 1}


def test_reports_say_what_the_answer_says() -> None:
    table = frame(carrier=["AA", "<&>|`\x01", None, None])
    answer = setpoint.check(table, CONTRACT, as_of=NOW)
    suite = ET.fromstring(junit(answer))  # noqa: S314 - our own text
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("11", "2", "0")
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert failed == {"carrier.allowed", "carrier.missing"}
    text = markdown(answer)
    assert "| `carrier.allowed` | breach | not one of AA, DL in 1 of 4 rows" in text
    assert "&lt;&amp;&gt;\\|'" in text
    nothing = setpoint.check(frame().head(0), Contract(CONTRACT.fields), as_of=NOW)
    assert ET.fromstring(junit(nothing)).get("errors") == "9"  # noqa: S314 - as above


def recorded(folder: Path, model: Model) -> Layout:
    layout = Layout.create(folder / "store", replay_now=NOW - 3_600_000_000)
    layout.declare(model)
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for delay, carrier in ((1.0, "AA"), (900.0, "AA"), (2.0, "ZZ"), (None, None)):
        recorder.record({"delay": delay, "carrier": carrier}, key=str(delay), prediction=1)
        recorder.outcome(1, key=str(delay))
    assert recorder.close()
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(NOW)
    clock.save()
    return layout


def test_serving_and_batch_count_the_same_rules(tmp_path: Path) -> None:
    layout = recorded(tmp_path, Model("m", contract=Contract(CONTRACT.fields[:2], CONTRACT.conditions)))
    with setpoint.open(layout.root) as log:
        answer = log.check("m")
        assert log.contract("m").check({"delay": 900.0}).violations == ("delay.range",)
    batch, online = found(answer, "broken_total"), found(answer, "recorded_total")
    assert {rule: n for rule, n in batch.items() if online[rule] is not None} == {
        rule: n for rule, n in online.items() if n is not None
    }
    assert (batch["delay.range"], batch["delay.required"], batch["carrier.allowed"]) == (1, 1, 1)
    assert "noted when recorded" not in answer.text()


def test_a_difference_between_serving_and_batch_is_said(tmp_path: Path) -> None:
    layout = recorded(tmp_path, Model("m", contract=Contract((ContractField("delay", at_most=1000, required=True),))))
    stricter = Contract((ContractField("delay", at_most=600, required=True),))
    layout.declare(Model("m", contract=stricter))
    with setpoint.open(layout.root) as log:
        text = log.check("m", over=Window(0, NOW)).text()
    assert "delay.range: 1 rows break it now, and 0 were noted when recorded" in text


def test_what_is_hidden_is_judged_by_what_serving_noted(tmp_path: Path) -> None:
    model = Model("m", features=(Feature("carrier", policy="hash"),), contract=Contract(CONTRACT.fields[:2]))
    layout = recorded(tmp_path, model)
    with setpoint.open(layout.root) as log:
        said = found(log.check("m"), "said")
    assert said["carrier.allowed"] == "noted in 1 row when they were recorded; the values themselves are hidden"


def test_rows_that_only_break_rules_on_trial_may_be_trained_on(tmp_path: Path) -> None:
    trial = ContractField("delay", at_most=600, on_violation=OnViolation.SHADOW)
    contract = Contract((trial, ContractField("carrier", allowed=("AA", "DL"))))
    layout = recorded(tmp_path, Model("m", contract=contract, training_data=TrainingData()))
    made = build(layout, "m", tmp_path / "set.parquet")
    delays = duckdb.execute(f"SELECT \"inputs.delay\" FROM '{made.path}' ORDER BY 1").fetchall()
    assert delays == [(1.0,), (900.0,), (None,)]
    assert made.selection.excluded == {"the contract was broken": 1}


def test_a_model_without_a_contract_cannot_be_checked(tmp_path: Path) -> None:
    layout = recorded(tmp_path, Model("m"))
    with setpoint.open(layout.root) as log, pytest.raises(UsageError, match="m declares no contract"):
        log.check("m")


def test_what_is_no_contract_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="found NoneType, expected a contract"):
        setpoint.check(duckdb.sql("SELECT 1 AS x"), None)  # pyright: ignore[reportArgumentType] — a mistake
