"""Many files at once: columns of mixed presence, broken lines, and patterns that grow."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.imported import killed_import

import setpoint
from setpoint.core.errors import EmptyFile, UsageError
from setpoint.project.keeping import import_file
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot

COLUMNS = {"time": "ts", "key": "id", "outcome": "outcome", "cost_usd": "cost"}
MONDAY = """\
{"ts": "2026-01-05T00:00:00Z", "id": "a1", "amount": 1, "outcome": 1, "cost": 0.5}
{"ts": "2026-01-05T01:00:00Z", "id": "a2", "amount": 2, "outcome": 0, "cost": 0.25}
"""
TUESDAY = """\
{"ts": "2026-01-06T00:00:00Z", "id": "b1", "amount": 1.5, "country": "DE", "cost": null}
{"ts": "2026-01-06T01:00:00Z", "id": "b2", "amo
{"ts": "2026-01-06T02:00:00Z", "id": "b3", "amount": null, "country": "FR"}
"""
WEDNESDAY = """\
{"ts": "2026-01-07T02:00:00+02:00", "id": "c1", "country": "DE", "outcome": 1, "cost": 0.125}

[1, 2]
{"id": "c3", "country": "PL", "outcome": 1, "cost": 1}
"""


def logs(folder: Path, **files: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.ndjson").write_text(text)
    return str(folder / "*.ndjson")


def query(store: Path, sql: str) -> list[tuple[object, ...]]:
    with Snapshot(Layout.open(store), "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


WEEK = [
    ("a1", 5, 1.0, None, 1.0, 500_000_000),
    ("a2", 5, 2.0, None, 0.0, 250_000_000),
    ("b1", 6, 1.5, "DE", None, None),
    ("b3", 6, None, "FR", None, None),
    ("c1", 7, None, "DE", 1.0, 125_000_000),
]


def rows_of(store: Path) -> list[tuple[object, ...]]:
    return query(
        store,
        "SELECT p.key, day(p.predicted_at), p.inputs.amount, p.inputs.country, o.outcome, c.cost_nano_usd FROM"
        " predictions AS p LEFT JOIN outcomes AS o USING (prediction_id) LEFT JOIN calls AS c USING (prediction_id)"
        " ORDER BY 1",
    )


def test_a_pattern_of_ndjson_files_loses_nothing(tmp_path: Path) -> None:
    store, pattern = tmp_path / "store", logs(tmp_path / "logs", a=MONDAY, b=TUESDAY, c=WEDNESDAY)
    done, notes = import_file(store, "m", pattern, columns=COLUMNS)
    assert (done.rows, done.quarantined, done.outcomes, done.costs, done.unpriced) == (5, 3, 3, 3, 2)
    assert rows_of(store) == WEEK
    assert query(store, "SELECT reason, line_number FROM quarantine ORDER BY 1, 2") == [
        ("no time", 2),
        ("not a JSON object", 2),
        ("not a JSON object", 3),
    ]
    raw = [row[0] for row in query(store, "SELECT raw FROM quarantine WHERE reason <> 'no time' ORDER BY line_number")]
    assert raw == ['{"ts": "2026-01-06T01:00:00Z", "id": "b2", "amo', "[1, 2]"]
    assert query(store, "SELECT sum(requests)::BIGINT FROM tallies") == [(5,)]
    said = "\n".join(notes)
    assert "b.ndjson line 2" in said
    assert "c.ndjson line 3" in said


def test_a_pattern_that_grew_brings_only_the_new_files(tmp_path: Path) -> None:
    store, folder = tmp_path / "store", tmp_path / "logs"
    pattern = logs(folder, a=MONDAY)
    assert import_file(store, "m", pattern, columns=COLUMNS)[0].rows == 2
    logs(folder, b=TUESDAY, c=WEDNESDAY)
    (folder / "copy.ndjson").write_text(MONDAY)
    done, notes = import_file(store, "m", pattern, columns=COLUMNS)
    assert (done.rows, done.quarantined) == (3, 3)
    assert notes[0] == "in already: 1 of 3 files", "a copy is no file of its own"
    assert rows_of(store) == WEEK
    assert import_file(store, "m", pattern, columns=COLUMNS)[0].is_repeat
    assert rows_of(store) == WEEK
    assert query(store, "SELECT sum(requests)::BIGINT FROM tallies") == [(5,)]


@pytest.mark.parametrize("table", ["tallies", "outcomes", "calls", "predictions"])
def test_a_pattern_that_grew_after_an_import_was_killed_is_exact(tmp_path: Path, table: str) -> None:
    store, folder = tmp_path / "store", tmp_path / "logs"
    pattern = logs(folder, a=MONDAY, c=WEDNESDAY)
    killed_import(store, pattern, table, COLUMNS)
    logs(folder, b=TUESDAY)
    done, _ = import_file(store, "m", pattern, columns=COLUMNS)
    assert (done.rows, done.quarantined) == (5, 3)
    assert rows_of(store) == WEEK
    for counted, count in (("outcomes", 3), ("calls", 5), ("quarantine", 3)):
        assert query(store, f"SELECT count(*) FROM {counted}") == [(count,)]
    assert query(store, "SELECT sum(requests)::BIGINT FROM tallies") == [(5,)]


def test_outcomes_in_many_files_are_imported_once_a_file(tmp_path: Path) -> None:
    store, folder = tmp_path / "store", tmp_path / "logs"
    pattern = logs(folder, a='{"at": "2026-01-08T00:00:00Z", "id": "a1", "outcome": 1}\n')
    columns = {"observed_at": "at", "key": "id"}
    assert import_file(store, "m", pattern, outcomes=True, columns=columns)[0].rows == 1
    logs(folder, b='{"at": "2026-01-08T00:00:00Z", "id": "a2", "outcome": 0}\nnot at all\n')
    done, _ = import_file(store, "m", pattern, outcomes=True, columns=columns)
    assert (done.rows, done.quarantined) == (1, 1)
    assert query(store, "SELECT key, outcome FROM outcomes ORDER BY key") == [("a1", 1.0), ("a2", 0.0)]
    assert query(store, "SELECT source_table, reason, raw FROM quarantine") == [
        ("outcomes", "not a JSON object", "not at all")
    ]


def test_a_file_of_broken_lines_is_refused_by_read_with_file_and_line(tmp_path: Path) -> None:
    pattern = logs(tmp_path / "logs", a=MONDAY, b=TUESDAY, c=WEDNESDAY)
    with pytest.raises(UsageError, match=r'b\.ndjson: line 2 is not a JSON object: .*"b2", "amo') as caught:
        setpoint.read(pattern)
    assert "mend or remove it" in caught.value.hint
    (tmp_path / "logs" / "b.ndjson").unlink()
    with pytest.raises(UsageError, match=r"c\.ndjson: line 3 is not a JSON object: '\[1, 2\]'"):
        setpoint.read(pattern)


def test_a_file_without_any_good_line_is_refused_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(EmptyFile, match="no rows in"):
        import_file(tmp_path / "store", "m", logs(tmp_path / "logs", a="not\nat\nall\n"))


def test_a_column_that_only_a_late_file_has_is_not_lost(tmp_path: Path) -> None:
    files = {f"f{n:02d}": f'{{"ts": "2026-01-05T00:00:{n:02d}Z", "amount": {n}}}\n' for n in range(45)}
    files["f44"] = '{"ts": "2026-01-05T00:00:44Z", "amount": 44, "late": 7}\n'
    pattern = logs(tmp_path / "logs", **files)
    done, notes = import_file(tmp_path / "store", "m", pattern, columns={"time": "ts"})
    assert done.rows == 45
    assert "inputs: amount, late" in notes
    assert query(tmp_path / "store", "SELECT sum(inputs.amount), sum(inputs.late) FROM predictions") == [(990, 7)]
    with setpoint.read(pattern, time="ts") as log, log.evidence() as evidence:
        assert set(evidence.inputs) == {"amount", "late"}


def test_csv_files_whose_columns_stand_in_another_order_are_joined_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ts,amount\n2026-01-05T00:00:00Z,1\n2026-01-05T00:01:00Z,2\n")
    (tmp_path / "b.csv").write_text("amount,country,ts\n3.5,DE,2026-01-06T00:00:00Z\n")
    (tmp_path / "c.csv").write_text("")
    (tmp_path / "d.csv").write_text("ts,amount\n")
    done, notes = import_file(tmp_path / "store", "m", str(tmp_path / "*.csv"), columns={"time": "ts"})
    assert (done.rows, done.quarantined) == (3, 0)
    assert "inputs: amount, country" in notes
    found = query(tmp_path / "store", "SELECT inputs.amount, inputs.country FROM predictions ORDER BY predicted_at")
    assert found == [(1.0, None), (2.0, None), (3.5, "DE")]


def test_values_of_several_types_in_one_json_column_are_texts_without_quotes(tmp_path: Path) -> None:
    text = '{"ts": "2026-01-05T00:00:00Z", "x": "n/a", "y": null}\n{"ts": "2026-01-05T01:00:00Z", "x": 2, "y": null}\n'
    done, _ = import_file(tmp_path / "store", "m", logs(tmp_path / "logs", a=text), columns={"time": "ts"})
    assert done.rows == 2
    assert query(tmp_path / "store", "SELECT inputs.x, inputs.y FROM predictions ORDER BY predicted_at") == [
        ("n/a", None),
        ("2", None),
    ]


@pytest.mark.parametrize(
    ("suffix", "first", "second"),
    [
        ("ndjson", "2026-07-05T02:00:00+02:00", "2026-07-05T03:00:00+02:00"),
        ("ndjson", "2026-07-05T00:00:00Z", "2026-07-05T03:00:00+02:00"),
        ("ndjson", "2026-07-05T02:00:00", "2026-07-05T03:00:00"),
        ("ndjson", "2026-07-05T02:00:00", "2026-07-05T01:00:00Z"),
        ("csv", "2026-07-05T02:00:00+02:00", "2026-07-05T03:00:00+02:00"),
        ("csv", "2026-07-05T00:00:00Z", "2026-07-05T03:00:00+02:00"),
        ("csv", "2026-07-05T02:00:00", "2026-07-05T03:00:00"),
    ],
)
def test_a_time_with_an_offset_is_not_read_as_local(tmp_path: Path, suffix: str, first: str, second: str) -> None:
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        path.write_text(f"ts,key\n{first},a\n{second},b\n")
    else:
        path.write_text(f'{{"ts": "{first}", "key": "a"}}\n{{"ts": "{second}", "key": "b"}}\n')
    import_file(tmp_path / "store", "m", str(path), columns={"time": "ts", "key": "key"}, tz="Europe/Berlin")
    assert query(tmp_path / "store", "SELECT hour(predicted_at) FROM predictions ORDER BY key") == [(0,), (1,)]


def test_a_day_among_texts_is_local_and_has_no_offset(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ts,key\n2026-07-05,a\nunknown,b\n2026-07-06,c\n")
    done, _ = import_file(
        tmp_path / "store", "m", str(path), columns={"time": "ts", "key": "key"}, tz="America/New_York"
    )
    assert (done.rows, done.quarantined) == (2, 1)
    assert query(tmp_path / "store", "SELECT hour(predicted_at) FROM predictions") == [(4,), (4,)]


@pytest.mark.parametrize("name", ["plain", "two words", "ümlaut", "it's", "50%", "logs [1]", "a*b?"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = folder / f"{name}.ndjson"
    path.write_text(MONDAY + "torn")
    done, _ = import_file(tmp_path / "store", "m", str(path), columns=COLUMNS)
    assert (done.rows, done.quarantined) == (2, 1)
    path.write_text(MONDAY)
    with setpoint.read(path) as log, log.evidence() as evidence:
        assert evidence.quality(None).total("rows") == 2


@pytest.mark.parametrize("time", ["1e300", "NaN", "-1e300"])
def test_a_number_that_is_no_time_is_put_aside(tmp_path: Path, time: str) -> None:
    (tmp_path / "t.csv").write_text(f"ts,x\n1767225600.0,1\n{time},2\n")
    done, _ = import_file(tmp_path / "store", "m", str(tmp_path / "t.csv"), columns={"time": "ts"})
    assert (done.rows, done.quarantined) == (1, 1)


def test_a_line_with_one_name_twice_is_no_row(tmp_path: Path) -> None:
    pattern = logs(tmp_path / "logs", a='{"ts": 1767225600, "x": 1}\n{"ts": 1767225601, "x": 1, "x": 2}\n')
    done, notes = import_file(tmp_path / "store", "m", pattern, columns={"time": "ts"})
    assert (done.rows, done.quarantined) == (1, 1)
    assert "a.ndjson line 2" in notes[-1]


def test_paths_that_stand_for_nothing_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file matches"):
        import_file(tmp_path / "store", "m", str(tmp_path / "*.ndjson"))
    with pytest.raises(UsageError, match="no file at"):
        import_file(tmp_path / "store", "m", str(tmp_path / "a.ndjson"))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UsageError, match="unknown file type"):
        import_file(tmp_path / "store", "m", str(tmp_path / "a.txt"))


RAGGED = """\
ts,id,amount,outcome
2026-01-05T00:00:00Z,a1
2026-01-05T01:00:00Z,a2,"2
2",0,1
2026-01-05T02:00:00Z,a3,3,1
2026-01-05T03:00:00Z,a4,4,0
2026-01-05T04:00:00Z,a5,5,1
2026-01-05T05:00:00Z,a6,6,0
"""


@pytest.mark.parametrize("lines", [RAGGED, RAGGED.replace(",", ";"), f"\ufeff{RAGGED}"])
def test_lines_of_a_csv_with_other_cells_than_its_header_are_refused_or_put_aside_by_number(
    tmp_path: Path, lines: str
) -> None:
    store, past = tmp_path / "store", tmp_path / "past.csv"
    past.write_text(lines, encoding="utf-8")
    with pytest.raises(UsageError, match=r"past\.csv: line 2 is not of as many cells as the header: .*\(and 2 more\)"):
        setpoint.read(past)
    done, notes = import_file(store, "m", str(past), columns={"time": "ts", "key": "id", "outcome": "outcome"})
    assert (done.rows, done.quarantined) == (4, 3)
    said = f"not of as many cells as the header, put aside: {past} line 2, {past} line 3, {past} line 4"
    assert said in notes
    assert [row[0] for row in query(store, "SELECT key FROM predictions ORDER BY key")] == ["a3", "a4", "a5", "a6"]
    assert query(store, "SELECT line_number, reason FROM quarantine ORDER BY line_number") == [
        (line, "not of as many cells as the header") for line in (2, 3, 4)
    ]


def test_a_text_above_the_header_of_a_csv_is_no_broken_line(tmp_path: Path) -> None:
    past = tmp_path / "past.csv"
    past.write_text(
        "# made by us, on Monday\n\n" + "".join(RAGGED.splitlines(keepends=True)[i] for i in (0, 4, 5, 6, 7))
    )
    assert setpoint.read(past, time="ts", inputs=["amount"]).status().table("metrics").rows
