"""The command line as a user runs it: data on stdout, words on stderr, exit codes that mean something."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import polars as pl
import pytest
from tests.commands import setpoint

from setpoint.cli import ORDER
from setpoint.core.model import Cohort, Expectation, Model, Owner, Rates
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool

START = datetime(2026, 3, 1, tzinfo=UTC)


def run(*arguments: str, cwd: Path, **environment: str) -> CompletedProcess[str]:
    return setpoint(*arguments, cwd=cwd, environment=environment)


def record(folder: Path, model: Model, *, days: float = 3.0, flip: bool = False) -> None:
    layout = Layout.create(folder / "store")
    layout.declare(model)
    recorder = Recorder(layout, model.name, version="v1", spool=Spool(layout))
    end = datetime.now(tz=UTC)
    for n in range(1200):
        at = end - timedelta(days=days) * (1 - n / 1200)
        score = (n * 37 % 100) / 100
        name = recorder.record(
            {"country": "de" if n % 3 else "fr", "amount": float(n % 50)},
            score=score,
            prediction=score >= 0.5,
            predicted_at=at,
            latency_seconds=0.01 + n % 10 / 1000,
        )
        recorder.outcome((score >= 0.5) != flip if n % 10 else n % 20 == 0, prediction_id=name, observed_at=at)
    recorder.close()


def fraud(**changes: object) -> Model:
    fields: dict[str, object] = {
        "expectations": (Expectation("accuracy", at_least=0.8),),
        "cohorts": (Cohort("country", by="country"),),
        "owner": Owner("payments", "pager"),
        "rates": Rates(per_prediction_usd=0.01),
        **changes,
    }
    return Model("fraud", **fields)  # pyright: ignore[reportArgumentType]


def test_the_three_questions_and_their_exit_codes(tmp_path: Path) -> None:
    record(tmp_path, fraud())
    status = run("status", "fraud", cwd=tmp_path)
    assert status.returncode == 0, status.stderr
    assert status.stdout.startswith("✓ fraud: working as expected: accuracy 0.9")
    assert "working" in run("status", cwd=tmp_path).stdout
    diff = run("diff", "fraud", "--current", "1d", cwd=tmp_path)
    assert diff.returncode == 0, diff.stderr
    cost = run("cost", "fraud", "--by", "day", cwd=tmp_path)
    assert cost.returncode == 0, cost.stderr
    assert "a correct prediction costs $0.01" in cost.stdout
    by = run("status", "fraud", "--by", "country", "--json", cwd=tmp_path)
    answer = json.loads(by.stdout)
    assert {row["country"] for row in answer["tables"]["by_country"]} == {"de", "fr"}
    assert answer["schema"] == "setpoint.answer/1"


def test_a_breach_exits_with_1_and_says_so_first(tmp_path: Path) -> None:
    record(tmp_path, fraud(), flip=True)
    status = run("status", "fraud", cwd=tmp_path)
    assert status.returncode == 1
    assert status.stdout.startswith("✗ fraud: NOT working as expected: accuracy 0.")


def test_too_few_outcomes_exit_with_3_and_a_silent_source_with_4(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    layout.declare(fraud(expectations=(Expectation("auc", at_least=0.7),)))
    recorder = Recorder(layout, "fraud", spool=Spool(layout))
    for n in range(20):
        name = recorder.record({}, score=0.5 + n / 100)
        if n < 5:
            recorder.outcome(1, prediction_id=name)
    recorder.close()
    few = run("status", "fraud", cwd=tmp_path)
    assert few.returncode == 3
    assert "needs 5 more positive outcomes" in few.stdout
    silent = run("status", "fraud", "--over", "2020-01-01..2020-01-08", cwd=tmp_path)
    assert silent.returncode == 4
    assert "no prediction since" in silent.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "nobody"), "no model is called 'nobody'"),
        (("status", "fraud", "--over", "7 dayz"), "not a window"),
        (("status", "fraud", "--as-of", "yesterday-ish"), "not a time"),
        (("status", "fraud", "--by", "planet"), "cannot group by 'planet'"),
        (("diff", "fraud", "--current", "2026-01-02..2026-01-01"), "ends before it starts"),
        (("status", "fraud", "--store", "elsewhere"), "there is no store"),
        (("import", "absent.parquet", "--model", "m"), "no file at"),
        (("import", "absent.parquet", "--model", "a/b"), "not a model's name"),
        (("import", "t.csv", "--model", "m", "--map", "time"), "not a mapping"),
        (("forget", "fraud"), "a key or a unit"),
        (("change", "add", "fraud", "deploy", "--start", "soon"), "not a time"),
        (("stats",), "No such command"),
    ],
)
def test_a_wrong_request_exits_with_2_and_a_hint_and_no_traceback(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    record(tmp_path, fraud())
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    found = run(*arguments, cwd=tmp_path)
    assert found.returncode == 2, found.stdout + found.stderr
    assert words in found.stderr
    assert "Traceback" not in found.stderr
    assert not found.stdout


def test_a_change_is_noted_and_named_beside_the_numbers(tmp_path: Path) -> None:
    record(tmp_path, fraud())
    noted = run("change", "add", "fraud", "deploy", "--subject", "v2", "--expected", "latency", cwd=tmp_path)
    assert noted.returncode == 0, noted.stderr
    assert "deploy v2" in run("status", "fraud", cwd=tmp_path).stdout
    assert "expected to move latency" in run("diff", "fraud", "--current", "1d", cwd=tmp_path).stdout


def test_tick_doctor_gc_and_forget_on_one_store(tmp_path: Path) -> None:
    record(tmp_path, fraud())
    tick = run("tick", cwd=tmp_path)
    assert tick.returncode == 0, tick.stderr
    assert "new version in traffic: v1" in tick.stderr
    assert "0 new findings" in run("tick", cwd=tmp_path).stdout
    doctor = run("doctor", cwd=tmp_path)
    assert doctor.returncode == 0, doctor.stderr
    assert "loss window" in doctor.stdout
    assert "nothing to let go" in run("gc", cwd=tmp_path).stdout


def test_history_is_imported_once(tmp_path: Path) -> None:
    rows = 500
    pl.DataFrame(
        {
            "when": [START + timedelta(minutes=n) for n in range(rows)],
            "order_id": [f"o{n}" for n in range(rows)],
            "score": [n % 100 / 100 for n in range(rows)],
            "amount": [float(n) for n in range(rows)],
        }
    ).write_parquet(tmp_path / "p.parquet")
    pl.DataFrame(
        {
            "when": [START + timedelta(minutes=n + 30) for n in range(rows)],
            "order_id": [f"o{n}" for n in range(rows)],
            "is_fraud": [int(n % 100 >= 50) for n in range(rows)],
        }
    ).write_csv(tmp_path / "o.csv")
    first = run("import", "p.parquet", "--model", "m", "--map", "time=when", "--map", "key=order_id", cwd=tmp_path)
    assert first.stdout == "500 predictions imported\n", first.stderr
    again = run("import", "p.parquet", "--model", "m", "--map", "time=when", "--map", "key=order_id", cwd=tmp_path)
    assert "imported before" in again.stdout
    outcomes = ("import", "o.csv", "--model", "m", "--outcomes", "--map", "time=when", "--map", "key=order_id")
    assert run(*outcomes, cwd=tmp_path).stdout == "500 outcomes imported\n"
    status = run("status", "m", "--over", "2026-03-01..2026-03-02", "--json", cwd=tmp_path)
    metrics = {row["metric"]: row["value"] for row in json.loads(status.stdout)["tables"]["metrics"]}
    assert metrics["accuracy"] == 1.0
    assert metrics["outcome_share"] == 1.0
    assert metrics["request_rate"] == pytest.approx(500 / 86400)


def test_an_import_says_what_came_along_and_what_was_put_aside(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    rows = [
        {"ts": f"2026-03-01T00:{n:02d}:00Z", "score": n / 50, "outcome": n % 2 if n % 5 else None, "cost_usd": 0.001}
        for n in range(50)
    ]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "logs" / "a.ndjson").write_text("\n".join([*lines[:20], '{"ts": "2026-03', ""]))
    (tmp_path / "logs" / "b.ndjson").write_text("\n".join(lines[20:]))
    arguments = ("import", "logs/*.ndjson", "--model", "m", "--map", "time=ts")
    first = run(*arguments, cwd=tmp_path)
    assert first.stdout == "50 predictions with 40 outcomes and 50 costs imported, 1 put aside in quarantine\n"
    assert "logs/a.ndjson line 21" in first.stderr
    assert "none yet in 10 of 50 rows" in first.stderr
    again = run(*arguments, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, "this file was imported before: nothing to do\n")
    answer = json.loads(run("doctor", "--json", cwd=tmp_path).stdout)
    figures = {row["figure"]: row["value"] for row in answer["tables"]["figures"] if row["model"] == "m"}
    assert (figures["quarantined_rows"], figures["unshipped_rows"], figures["odd_scores"]) == (1, 0, 0)
    assert answer["tables"]["quarantine"] == [
        {"model": "m", "source_table": "predictions", "reason": "not a JSON object", "rows": 1}
    ]


def test_the_store_is_found_by_environment_and_by_setpoint_yaml(tmp_path: Path) -> None:
    record(tmp_path, fraud())
    (tmp_path / "store").rename(tmp_path / "kept")
    assert run("status", "fraud", cwd=tmp_path, SETPOINT_STORE="kept").returncode == 0
    (tmp_path / "setpoint.yaml").write_text("store: kept\n")
    assert run("status", "fraud", cwd=tmp_path).returncode == 0


def test_help_names_every_command(tmp_path: Path) -> None:
    said = run("--help", cwd=tmp_path).stdout
    for command in (
        "status",
        "diff",
        "cost",
        "init",
        "plan",
        "apply",
        "models",
        "tick",
        "doctor",
        "gc",
        "forget",
        "import",
    ):
        assert command in said


def test_commands_are_listed_in_the_order_in_which_a_new_user_comes_to_them(tmp_path: Path) -> None:
    found = setpoint("--help", cwd=tmp_path).stdout.partition("Commands:\n")[2]
    assert tuple(line.split()[0] for line in found.splitlines() if line.strip()) == ORDER
