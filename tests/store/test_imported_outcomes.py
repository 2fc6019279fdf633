"""Outcomes and costs that stand beside the predictions in a file: imported with them, once, and asked the same."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import duckdb
import pytest
from tests.store.imported import killed_import

import setpoint
from setpoint.answers.answer import Answer
from setpoint.control.loop import tick
from setpoint.core.clock import DAY
from setpoint.core.errors import ColumnError, UsageError
from setpoint.core.model import Feature, Model, OutcomeKind, Rates, Silence, Success, Task
from setpoint.project.keeping import import_file
from setpoint.store.findings import read_findings
from setpoint.store.imports import Imported
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot

ROWS = 2400
END = "2026-01-11T00:00:00+00:00"
OVER = "2026-01-01..2026-01-10"
MAPPING = {"time": "ts", "score": "score", "outcome": "is_fraud", "cost_usd": "cost"}


def history(path: Path, *, costs: str = "0.0001 * (1 + i % 7)", key: str = "'k' || i AS key,") -> Path:
    """Write ten days of predictions of which every fifth has no outcome."""
    form = "FORMAT csv, HEADER" if path.suffix == ".csv" else "FORMAT parquet"
    duckdb.execute(
        f"""COPY (SELECT TIMESTAMPTZ '2026-01-01 00:00:00Z' + INTERVAL (i * 6) MINUTE AS ts, {key}
        'v' || (i % 2) AS version, (i * 37 % 100) / 100.0 AS score, i * 1.5 AS amount,
        0.05 * (1 + i % 3) AS latency_seconds, {costs} AS cost, 0.25 * (i % 9) AS value_usd,
        TIMESTAMPTZ '2026-01-02 00:00:00Z' + INTERVAL (i * 6) MINUTE AS settled_at,
        CASE WHEN i % 5 > 0 THEN CAST((i * 37 % 100) + (i * 53 % 41) > 70 AS INTEGER) END AS is_fraud
        FROM range({ROWS}) AS t(i)) TO '{path}' ({form})"""
    )
    return path


def query(store: Path, sql: str) -> list[tuple[object, ...]]:
    with Snapshot(Layout.open(store), "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


def assert_same(found: Answer, expected: Answer, *, tables: tuple[str, ...]) -> None:
    assert found.verdict is expected.verdict
    for name in tables:
        ours, theirs = found.table(name), expected.table(name)
        assert ours.columns == theirs.columns
        assert len(ours.rows) == len(theirs.rows)
        for row, other in zip(ours.rows, theirs.rows, strict=True):
            for cell, wanted in zip(row, other, strict=True):
                same = cell == (pytest.approx(wanted, rel=1e-9, nan_ok=True) if isinstance(wanted, float) else wanted)
                assert same, f"{name}: {row} is not {other}"


def read(file: Path, model: Model | str, columns: dict[str, str]) -> setpoint.Log:
    return setpoint.read(str(file), model=model, cohorts=[], inputs=None, **columns)


def compare(store: Path, file: Path, model: Model | str = "m", **columns: str) -> None:
    """Assert that the store answers as the file itself does: from rows, and from kept summaries."""
    with read(file, model, {**MAPPING, **columns}) as told:
        status, cost = told.status(over=OVER), told.cost(over=OVER)
    assert status.table("metrics").rows
    for is_kept in (False, True):
        if is_kept:
            tick(Layout.open(store))
        with setpoint.open(store) as log:
            assert_same(log.status("m", over=OVER, as_of=END), status, tables=("metrics",))
            assert_same(log.cost("m", over=OVER, as_of=END), cost, tables=("metrics", "lines"))
            assert_same(log.status("m", over=OVER), status, tables=("metrics",))
            assert_same(log.cost("m", over=OVER), cost, tables=("metrics", "lines"))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("observed", ["", "settled_at"])
def test_a_store_answers_as_the_file_that_was_imported(tmp_path: Path, suffix: str, observed: str) -> None:
    store, past = tmp_path / "store", history(tmp_path / f"past{suffix}")
    columns = {**MAPPING, **({"observed_at": observed} if observed else {})}
    done, notes = import_file(store, "m", str(past), columns=columns)
    assert done == Imported(ROWS, 0, outcomes=ROWS * 4 // 5, worthless=ROWS // 5, costs=ROWS)
    said = "\n".join(notes)
    assert "values in 'value_usd' beside no outcome: 480, left out" in said
    assert (f"observed at {observed!r}" if observed else "observed when predicted") in said
    assert "none yet in 480 of 2,400 rows" in said
    compare(store, past, **columns)
    with setpoint.open(store) as log:
        metrics = {row[0]: row for row in log.cost("m", over=OVER).table("metrics").rows}
    assert metrics["cost_per_success_usd"][1] is not None
    assert metrics["cost_per_success_usd"][5] == 0.8


MODELS = {
    "rates": Model("m", rates=Rates(per_prediction_usd=0.01, per_month_usd=100.0, per_outcome_usd=0.02)),
    "silence": Model("m", outcome_if_silent=Silence(0.0, 12 * 3600 * 1_000_000)),
    "zone": Model("m", timezone="Asia/Kolkata"),
    "regression": Model("m", task=Task.REGRESSION, success=Success(tolerance=0.3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_declared_model_answers_as_the_file_too(tmp_path: Path, name: str) -> None:
    store, past, model = tmp_path / "store", history(tmp_path / "past.parquet"), MODELS[name]
    Layout.create(store).declare(model)
    columns = {"prediction": "score", "score": ""} if name == "regression" else {}
    done, _ = import_file(store, "m", str(past), columns={**MAPPING, **columns})
    assert (done.rows, done.outcomes, done.costs) == (ROWS, 1920, ROWS)
    compare(store, past, model, **columns)


@pytest.mark.parametrize("words", [("yes", "no"), ("fraud", "fine"), ("1", "0")])
def test_words_for_yes_and_no_mean_the_same_in_the_store(tmp_path: Path, words: tuple[str, str]) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    yes, no = words
    lines = [
        f"2026-01-{1 + n // 48:02d}T{n % 48 // 2:02d}:{n % 2 * 30:02d}:00Z,k{n},"
        f"{yes if n % 3 else no},{(yes, no, '')[n % 7 % 3]}"
        for n in range(480)
    ]
    past.write_text("ts,key,decision,truth\n" + "\n".join(lines) + "\n")
    model = Model("m", positive=yes)
    Layout.create(store).declare(model)
    columns = {"time": "ts", "prediction": "decision", "outcome": "truth", "score": "", "cost_usd": ""}
    done, _ = import_file(store, "m", str(past), columns={k: v for k, v in columns.items() if v})
    assert (done.rows, done.quarantined) == (480, 0)
    compare(store, past, model, **columns)
    with setpoint.open(store) as log:
        accuracy = {row[0]: row[1] for row in log.status("m", over=OVER).table("metrics").rows}["accuracy"]
    known = [(n % 3 > 0) == (n % 7 % 3 == 0) for n in range(432) if n % 7 % 3 < 2]
    assert accuracy == pytest.approx(sum(known) / len(known))


def test_a_missing_cost_is_unknown_and_never_free(tmp_path: Path) -> None:
    store = tmp_path / "store"
    past = history(tmp_path / "past.parquet", costs="CASE WHEN i % 10 > 0 THEN 0.001 END")
    done, notes = import_file(store, "m", str(past), columns=MAPPING)
    assert (done.costs, done.unpriced) == (2160, 240)
    assert "no 'cost' in 240 of 2,400 rows: unknown, not nothing" in notes
    assert query(store, "SELECT count(*), count(cost_nano_usd), sum(cost_nano_usd)::BIGINT FROM calls") == [
        (2400, 2160, 2160 * 1_000_000)
    ]
    with setpoint.open(store) as log:
        answer = log.cost("m", over=OVER)
        assert answer.verdict is setpoint.Verdict.UNKNOWN
        assert [row[:4] for row in answer.table("lines").rows] == [("calls", None, 2160, 216)]
        assert [row[1] for row in answer.table("metrics").rows][:2] == [None, None]
        assert "216 calls with no known price" in answer.unknowns[1]
    compare(store, past)


def test_a_missing_cost_is_unknown_beside_declared_rates_too(tmp_path: Path) -> None:
    store, model = tmp_path / "store", MODELS["rates"]
    past = history(tmp_path / "past.parquet", costs="CASE WHEN i % 10 > 0 THEN 0.001 END")
    Layout.create(store).declare(model)
    import_file(store, "m", str(past), columns=MAPPING)
    with setpoint.open(store) as log:
        assert log.cost("m", over=OVER).verdict is setpoint.Verdict.UNKNOWN
    compare(store, past, model)


def test_costs_are_rounded_once_to_whole_nano_dollars(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    costs = ["0.0000000015", "1.0000000004", "0", "12.5", "NaN", ""]
    past.write_text("ts,cost\n" + "".join(f"2026-01-01T0{n}:00:00Z,{cost}\n" for n, cost in enumerate(costs)))
    done, _ = import_file(store, "m", str(past), columns={"time": "ts", "cost_usd": "cost"})
    assert (done.costs, done.unpriced) == (4, 2)
    found = query(store, "SELECT cost_nano_usd FROM calls JOIN predictions USING (prediction_id) ORDER BY predicted_at")
    assert [row[0] for row in found] == [2, 1_000_000_000, 0, 12_500_000_000, None, None]


TABLES = ("predictions", "outcomes", "calls", "tallies", "quarantine")


def contents(store: Path) -> dict[str, object]:
    """Return all that a store holds, but for when a row was put aside and for the order inside maps."""
    bins = ", ".join(f"list_sort(map_entries({name})) AS {name}" for name in ("latency_bins", "score_bins"))
    shown = {"quarantine": "* EXCLUDE (ship, recorded_at)", "tallies": f"* EXCLUDE (ship) REPLACE ({bins})"}
    found: dict[str, object] = {}
    with Snapshot(Layout.open(store), "m") as snapshot:
        for table in TABLES:
            columns = shown.get(table, "* EXCLUDE (ship)")
            sql = f"SELECT CAST(to_json(r) AS VARCHAR) FROM (SELECT {columns} FROM {table}) AS r ORDER BY ALL"
            found[table] = snapshot.connection.execute(sql).fetchall()
        found["ships"] = snapshot.ships
    return found


def broken_history(path: Path) -> Path:
    """Write history of which one row has no time."""
    history(path, costs="CASE WHEN i % 10 > 0 THEN 0.001 END", key="")
    late = "nullif(ts, TIMESTAMPTZ '2026-01-03 00:00:00Z') AS ts"
    duckdb.execute(f"COPY (SELECT * REPLACE ({late}) FROM '{path}') TO '{path}'")
    return path


def test_a_second_import_changes_nothing(tmp_path: Path) -> None:
    store, past = tmp_path / "store", broken_history(tmp_path / "past.parquet")
    done, _ = import_file(store, "m", str(past), columns=MAPPING)
    assert (done.rows, done.quarantined, done.outcomes) == (ROWS - 1, 1, 1920)
    before = contents(store)
    copy = tmp_path / "renamed.parquet"
    copy.write_bytes(past.read_bytes())
    for again in (past, copy):
        assert import_file(store, "m", str(again), columns=MAPPING) == (Imported(0, 0, is_repeat=True), [])
    assert contents(store) == before
    assert len(query(store, "SELECT 1 FROM predictions SEMI JOIN outcomes USING (prediction_id)")) == 1920
    assert len(query(store, "SELECT 1 FROM predictions SEMI JOIN calls USING (prediction_id)")) == ROWS - 1
    tick(Layout.open(store))
    assert read_findings(Layout.open(store), "m") == [], "no stray and no early outcome"


@pytest.mark.parametrize("table", TABLES)
def test_an_import_that_was_killed_before_any_of_its_commits_is_exact_when_run_again(
    tmp_path: Path, table: str
) -> None:
    past = broken_history(tmp_path / "past.parquet")
    killed_import(tmp_path / "killed", str(past), table, MAPPING)
    assert not query(tmp_path / "killed", "SELECT 1 FROM predictions")
    stores = [tmp_path / "killed", tmp_path / "whole"]
    done = [import_file(store, "m", str(past), columns=MAPPING)[0] for store in stores]
    assert asdict(done[0]) == asdict(done[1])
    assert contents(stores[0]) == contents(stores[1])


def test_an_outcome_is_known_from_when_it_was_observed(tmp_path: Path) -> None:
    store, past = tmp_path / "store", history(tmp_path / "past.parquet")
    import_file(store, "m", str(past), columns={**MAPPING, "observed_at": "settled_at"})
    shares: list[object] = []
    with setpoint.open(store) as log:
        for day in (2, 3, 12):
            answer = log.status("m", over="2026-01-01..2026-01-02", as_of=f"2026-01-{day:02d}T12:00:00+00:00")
            shares += [row[1] for row in answer.table("metrics").rows if row[0] == "outcome_share"]
    assert shares == [pytest.approx(0.4, abs=0.01), 0.8, 0.8]


def test_a_column_called_observed_at_is_taken_for_the_outcomes_time_and_not_for_an_input(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    lines = [f"2026-01-01T00:{n:02d}:00Z,2026-01-02T00:{n:02d}:00Z,{n % 2},{n}" for n in range(60)]
    past.write_text("ts,observed_at,outcome,amount\n" + "\n".join(lines) + "\n")
    done, notes = import_file(store, "m", str(past))
    assert done.outcomes == 60
    assert "observed_at='observed_at'" in notes[0]
    assert "inputs: amount" in notes
    assert query(store, "SELECT DISTINCT day(observed_at), day(recorded_at) FROM outcomes") == [(2, 2)]


def test_a_row_whose_outcome_does_not_fit_is_put_aside_whole(tmp_path: Path) -> None:
    store, first, second = tmp_path / "store", tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text("ts,key,outcome\n2026-01-01T00:00:00Z,a,1\n2026-01-01T01:00:00Z,b,0\n")
    second.write_text("ts,key,outcome\n2026-01-02T00:00:00Z,c,1\n2026-01-02T01:00:00Z,d,maybe\n")
    columns = {"time": "ts", "key": "key", "outcome": "outcome"}
    import_file(store, "m", str(first), columns=columns)
    done, _ = import_file(store, "m", str(second), columns=columns)
    assert done == Imported(1, 1, outcomes=1)
    found = query(store, "SELECT source_table, reason, line_number, raw FROM quarantine")
    assert [row[:3] for row in found] == [("predictions", "a value does not fit its column", 2)]
    assert '"maybe"' in str(found[0][3])
    third = tmp_path / "3.csv"
    third.write_text("ts,key,outcome\n2026-01-03T00:00:00Z,a,perhaps\n2026-01-03T01:00:00Z,b,1\n,c,1\n2026-01-03,,1\n")
    done, _ = import_file(store, "m", str(third), outcomes=True, columns=columns)
    assert done == Imported(1, 3, misfits=1)
    reasons = query(store, "SELECT reason FROM quarantine WHERE source_table = 'outcomes' ORDER BY line_number")
    assert [row[0] for row in reasons] == [
        "a value does not fit its column",
        "no time",
        "neither prediction_id nor key",
    ]


def test_two_kinds_of_outcome_in_one_file_are_imported_once_each(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    past.write_text("ts,key,clicked,bought\n2026-01-01T00:00:00Z,a,1,0\n2026-01-01T01:00:00Z,b,1,1\n")
    import_file(store, "m", str(past), columns={"time": "ts", "key": "key", "outcome": "bought"})
    clicks = {"time": "ts", "key": "key", "outcome": "clicked"}
    for repeat in (False, True):
        done, _ = import_file(store, "m", str(past), outcomes=True, columns=clicks, kind="click")
        assert done.is_repeat is repeat
    assert import_file(store, "m", str(past), outcomes=True, columns=clicks)[0].is_repeat, "these came with the rows"
    assert query(store, "SELECT kind, sum(outcome) FROM outcomes GROUP BY kind ORDER BY kind") == [
        ("click", 2.0),
        ("final", 1.0),
    ]


def test_what_is_asked_for_too_late_is_said(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    past.write_text("ts,key,was_bad,paid\n2026-01-01T00:00:00Z,a,1,0.5\n2026-01-01T01:00:00Z,b,1,0.5\n")
    columns = {"time": "ts", "key": "key"}
    assert import_file(store, "m", str(past), columns=columns)[0] == Imported(2, 0)
    with pytest.raises(UsageError, match="not with outcome=was_bad, cost_usd=paid"):
        import_file(store, "m", str(past), columns={**columns, "outcome": "was_bad", "cost_usd": "paid"})
    columns |= {"outcome": "was_bad"}
    with pytest.raises(UsageError, match="--outcomes adds outcomes alone"):
        import_file(store, "m", str(past), columns=columns)
    assert import_file(store, "m", str(past), outcomes=True, columns=columns)[0] == Imported(2, 0)
    assert import_file(store, "m", str(past), columns=columns) == (Imported(0, 0, is_repeat=True), [])
    for outcomes in (True, False):
        with pytest.raises(UsageError, match="not with outcome=paid"):
            import_file(store, "m", str(past), outcomes=outcomes, columns={**columns, "outcome": "paid"})


def test_an_identifier_that_stands_twice_is_no_identifier(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    lines = [f"2026-01-01T00:{n:02d}:00Z,r{max(n, 1)},{n % 2},0.5" for n in range(60)]
    past.write_text("ts,request_id,outcome,cost\n" + "\n".join(lines) + "\n")
    columns = {"time": "ts", "outcome": "outcome", "cost_usd": "cost"}
    done, notes = import_file(store, "m", str(past), columns=columns)
    assert (done.rows, done.outcomes) == (60, 60)
    assert "key='request_id'" in notes[0]
    assert query(store, "SELECT count(DISTINCT prediction_id) FROM predictions") == [(60,)]
    other = tmp_path / "other"
    done, _ = import_file(other, "m", str(past), columns={**columns, "prediction_id": "request_id"})
    assert (done.rows, done.quarantined, done.outcomes, done.costs) == (59, 1, 59, 59)
    assert query(other, "SELECT reason, line_number FROM quarantine") == [
        ("its prediction_id stands in an earlier row", 2)
    ]
    assert query(other, "SELECT sum(requests)::BIGINT FROM tallies") == [(59,)]


def test_odd_times_and_scores_are_counted_with_a_hint(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    start = 1_767_225_600_000_000
    Layout.create(store, replay_now=start + 30 * DAY)
    scores = ["0.5", "1.0", "0.0", "1.5", "-0.1", "NaN", ""]
    lines = [f"2026-01-{28 + n:02d}T00:00:00Z,{score},{n % 2}" for n, score in enumerate(scores[:4])]
    lines += [f"2026-02-{1 + n:02d}T00:00:00Z,{score},1" for n, score in enumerate(scores[4:])]
    past.write_text("ts,score,outcome\n" + "\n".join(lines) + "\n")
    done, notes = import_file(store, "m", str(past), columns={"time": "ts", "score": "score", "outcome": "outcome"})
    assert (done.rows, done.future, done.odd_scores) == (7, 3, 3)
    said = "\n".join(notes)
    assert "times after the store's clock (2026-01-31 00:00 UTC): 3 of 7 rows" in said
    assert "scores outside 0 to 1: 3 of 7 rows" in said
    late = tmp_path / "late.csv"
    late.write_text("ts,key,outcome\n2026-03-01T00:00:00Z,a,1\n")
    done, notes = import_file(store, "m", str(late), outcomes=True, columns={"time": "ts", "key": "key"})
    assert (done.rows, done.future) == (1, 1)
    assert any("after the store's clock" in note for note in notes)


@pytest.mark.parametrize("role", ["score", "cost_usd", "latency_seconds"])
def test_a_text_where_a_number_belongs_is_refused_with_the_text(tmp_path: Path, role: str) -> None:
    past = tmp_path / "past.csv"
    past.write_text("ts,x\n2026-01-01T00:00:00Z,0.5\n2026-01-01T01:00:00Z,n/a\n")
    for ask in (
        lambda: import_file(tmp_path / "store", "m", str(past), columns={"time": "ts", role: "x"}),
        lambda: read(past, "m", {"time": "ts", role: "x"}),
    ):
        with pytest.raises(ColumnError, match=rf"'x' cannot be {role}: 1 of its values .* 'n/a'"):
            ask()


def test_policies_hold_for_what_comes_along(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "past.ndjson"
    past.write_text(
        '{"ts": "2026-01-01T00:00:00Z", "secret": "hidden-1", "outcome": 1}\n'
        '{"ts": "2026-01-01T01:00:00Z", "secret": "hidden-2", "outc\n'
        '{"secret": "hidden-3", "outcome": 1}\n'
    )
    Layout.create(store).declare(Model("m", features=(Feature("secret", "categorical", policy="drop"),)))
    done, _ = import_file(store, "m", str(past), columns={"time": "ts", "outcome": "outcome"})
    assert (done.rows, done.quarantined, done.outcomes) == (1, 2, 1)
    assert not [path for path in store.rglob("*") if path.is_file() and b"hidden" in path.read_bytes()]


def test_a_file_of_outcomes_may_revise_and_retract_earlier_ones(tmp_path: Path) -> None:
    store, past = tmp_path / "store", history(tmp_path / "history.parquet")
    import_file(store, "m", str(past), columns={"time": "ts", "score": "score", "outcome": ""})
    for name, values in {
        "first": "1 AS outcome, 0 AS revision, false AS retracted",
        "later": "CASE WHEN i % 2 = 0 THEN 0 END AS outcome, 1 AS revision, i % 2 = 1 AS retracted",
    }.items():
        path = tmp_path / f"{name}.parquet"
        duckdb.execute(
            f"""COPY (SELECT 'k' || i AS key, TIMESTAMPTZ '2026-01-12 00:00:00Z' AS ts, {values}
            FROM range(100) AS t(i)) TO '{path}' (FORMAT parquet)"""
        )
        done, _ = import_file(store, "m", str(path), outcomes=True)
        assert (done.rows, done.quarantined) == (100, 0)
    found = query(store, "SELECT revision, retracted, count(*) FROM outcomes GROUP BY ALL ORDER BY ALL")
    assert found == [(0, False, 100), (1, False, 50), (1, True, 50)]
    with setpoint.open(store) as log:
        (row,) = [row for row in log.quality("m", over=OVER).table("metrics").rows if row[0] == "base_rate"]
    assert (row[1], row[6]) == (0.0, 50)
    odd = tmp_path / "odd.parquet"
    duckdb.execute(f"COPY (SELECT 'k1' AS key, now() AS ts, 1 AS outcome, 'perhaps' AS gone) TO '{odd}'")
    with pytest.raises(ColumnError, match="column gone has type VARCHAR, which is no retracted"):
        import_file(store, "m", str(odd), outcomes=True, columns={"retracted": "gone"})


def test_a_file_of_outcomes_says_who_told_them_and_what_was_lost(tmp_path: Path) -> None:
    store, past, told = tmp_path / "store", history(tmp_path / "history.parquet"), tmp_path / "told.csv"
    import_file(store, "m", str(past), columns={"time": "ts", "score": "score", "outcome": ""})
    lines = [
        f"k{n},2026-01-{1 + n // 240 + 1:02d}T00:00:00Z,{n % 2},{'ledger' if n < 2000 else 'bureau'},{1.5 - n % 3}"
        for n in range(2400)
    ]
    told.write_text("key,ts,outcome,source,value_usd\n" + "\n".join(lines) + "\n")
    _, notes = import_file(store, "m", str(told), outcomes=True)
    assert "value_usd='value_usd'" in notes[0]
    assert "source='source'" in notes[0]
    found = query(store, "SELECT source, count(*), min(value_usd) FROM outcomes GROUP BY ALL ORDER BY ALL")
    assert found == [("bureau", 400, -0.5), ("ledger", 2000, -0.5)]
    tick(Layout.open(store))
    kinds = {(f.kind, f.subject) for f in read_findings(Layout.open(store), "m")}
    assert ("new_outcome_source", "final from bureau") in kinds
    nameless = tmp_path / "nameless.csv"
    nameless.write_text("key,ts,outcome,source\nk1,2026-01-12T00:00:00Z,1,ledger\n")
    import_file(store, "m", str(nameless), outcomes=True, columns={"source": ""})
    assert query(store, "SELECT count(*) FROM outcomes WHERE source LIKE 'import-%'") == [(1,)]


def test_outcomes_that_fit_no_number_are_said_with_one_of_them(tmp_path: Path) -> None:
    store, past, thumbs = tmp_path / "store", history(tmp_path / "history.parquet"), tmp_path / "thumbs.csv"
    import_file(store, "m", str(past), columns=MAPPING)
    thumbs.write_text("key,ts,thumb\nk1,2026-01-02T00:00:00Z,up\nk2,2026-01-02T00:00:00Z,down\n")
    done, notes = import_file(store, "m", str(thumbs), outcomes=True, columns={"outcome": "thumb"}, kind="thumb")
    assert (done.rows, done.quarantined, done.misfits) == (0, 2, 2)
    assert "outcomes that do not fit those of m: 2, such as 'down'" in notes[-1]


def test_a_column_called_like_a_kind_of_outcome_is_no_input(tmp_path: Path) -> None:
    store, past = tmp_path / "store", tmp_path / "graded.csv"
    lines = [f"k{n},2026-01-01T{n % 24:02d}:00:00Z,{n % 3},{n % 5},{n % 2}" for n in range(60)]
    past.write_text("key,ts,length,llm,human\n" + "\n".join(lines) + "\n")
    kinds = (OutcomeKind("human"), OutcomeKind("llm", final=False, judge=True))
    Layout.create(store).declare(Model("m", task=Task.GENERATION, outcomes=kinds))
    _, notes = import_file(store, "m", str(past), columns={"outcome": "human"})
    assert "inputs: length" in notes
    assert "left out: llm, declared as a kind of outcome; import it with --outcomes --kind llm" in notes, notes
    done, _ = import_file(store, "m", str(past), outcomes=True, columns={"outcome": "llm"}, kind="llm")
    assert done.rows == 60
