"""Sampling, policies and forgetting: what is not kept is counted, what is private never reaches the disk."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from setpoint.control.loop import tick
from setpoint.core.clock import HOUR
from setpoint.core.errors import StoreError
from setpoint.core.ids import keeps
from setpoint.core.model import Cohort, Feature, Model
from setpoint.core.window import Window
from setpoint.predictions.recorder import Recorder
from setpoint.store.erasure import _holds, forget, traces
from setpoint.store.evidence import RowEvidence
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.shipper import ship
from setpoint.store.snapshot import Snapshot
from setpoint.store.spool import Spool
from setpoint.store.states import StateTable
from setpoint.store.summaries import Summaries
from setpoint.testing import temporary_store

START = 1_767_225_600_000_000  # 2026-01-01


def query(layout: Layout, sql: str) -> list[tuple[object, ...]]:
    with Snapshot(layout, "m") as snapshot:
        return snapshot.connection.execute(sql).fetchall()


def count(layout: Layout, sql: str) -> int:
    return int(str(query(layout, f"SELECT count(*) FROM {sql}")[0][0]))


def files_with(root: Path, text: str) -> list[str]:
    """Return every file of a store in which a text stands, byte by byte."""
    return [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if path.is_file() and text.encode() in path.read_bytes()
    ]


# Sampling.


def test_sampling_keeps_a_share_by_root_and_estimates_the_total() -> None:
    with temporary_store(Model("m", keep=0.2, keep_where="country = 'nl'")) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        for n in range(5000):
            recorder.record({"country": "de"}, prediction_id=f"p{n}", score=0.5)
        for n in range(50):
            recorder.record({"country": "nl"}, prediction_id=f"rare{n}")
            recorder.record({"country": "de"}, prediction_id=f"failed{n}", error="timeout")
        recorder.close()
        sampled = query(layout, "SELECT prediction_id, keep_probability FROM predictions WHERE prediction_id LIKE 'p%'")
        assert {row[0] for row in sampled} == {f"p{n}" for n in range(5000) if keeps(f"p{n}", 0.2)}
        assert {row[1] for row in sampled} == {0.2}
        always = query(
            layout,
            "SELECT count(*), count(keep_probability) FROM predictions WHERE prediction_id NOT LIKE 'p%'",
        )
        assert always == [(100, 0)], "rare cohorts and errors are always kept, with weight 1"
        ship(layout)
        tallied = query(layout, "SELECT sum(requests)::BIGINT, sum(not_kept)::BIGINT, sum(errors)::BIGINT FROM tallies")
        assert tallied == [(5100, 5000 - len(sampled), 50)]
        estimate = float(str(query(layout, "SELECT sum(coalesce(1.0 / keep_probability, 1.0)) FROM predictions")[0][0]))
        assert abs(estimate - 5100) < 5 * (5000 * 0.8 / 0.2) ** 0.5, "within five standard errors"


def test_the_same_roots_are_kept_in_every_process_and_children_go_with_their_root() -> None:
    with temporary_store(Model("m", keep=0.3)) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool, version="here")
        code = """
import sys
from pathlib import Path
from setpoint.predictions.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]), "m", version="there")
for n in range(500):
    recorder.record({"x": 1.0}, prediction_id=f"child{n}", root_id=f"root{n}", parent_id=f"root{n}", role="shadow")
"""
        subprocess.run([sys.executable, "-c", code, str(layout.root)], check=True, timeout=60)
        for n in range(500):
            recorder.record({"x": 1.0}, prediction_id=f"root{n}")
        recorder.close()
        kept = {
            version: {row[0] for row in query(layout, f"SELECT root_id FROM predictions WHERE version = '{version}'")}
            for version in ("here", "there")
        }
        assert kept["here"] == kept["there"]
        assert 100 < len(kept["here"]) < 200


# Policies.


def test_hashed_redacted_and_dropped_values_never_reach_the_disk() -> None:
    features = tuple(Feature(policy, "categorical", policy=policy) for policy in ("hash", "redact", "drop"))
    with temporary_store(Model("m", features=features)) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        secrets = {policy: f"secret-of-{policy}" for policy in ("hash", "redact", "drop")}
        recorder.record({**secrets, "x": 1.0}, key="a")
        recorder.record({**secrets, "x": "text"}, key="conflict")
        naive = datetime(2026, 1, 1)  # noqa: DTZ001 — that is what is tried
        recorder.record({**secrets, "x": 1.0}, key="naive", predicted_at=naive)
        recorder.record({**secrets, "x": 1.0}, key="odd", predicted_at="today")  # pyright: ignore[reportArgumentType]
        recorder.record_many({name: [value] for name, value in secrets.items()})
        assert recorder.flush()
        for stage in ("flushed", "shipped", "summarised"):
            assert files_with(layout.root, "secret-of") == [], stage
            recorder.close()
            if stage == "flushed":
                ship(layout, grace_seconds=3600)
            tick(layout)
        assert count(layout, "quarantine") == 3
        digest = hashlib.sha256(b"secret-of-hash").hexdigest()[:24]
        found = query(layout, "SELECT inputs.hash, inputs.redact, inputs.x FROM predictions WHERE key = 'a'")
        assert found == [(digest, "[redacted]", 1.0)]
        assert "drop" not in str(query(layout, "DESCRIBE SELECT inputs FROM predictions"))


# Forgetting.

FORGOTTEN = "customer-8841-forget-me"
MODEL = Model("m", cohorts=(Cohort("country", by="country"),))


def record_two_keys(layout: Layout, recorder: Recorder) -> None:
    """Record rows of a key to forget among those of others, with children, calls and outcomes."""
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    for n in range(40):
        clock.set(START + n * HOUR)
        for key, unit in ((f"{FORGOTTEN}", "unit-8841-forget-me"), (f"{FORGOTTEN}0", "unit-8841-forget-me-not")):
            name = recorder.record(
                {"x": float(n), "country": "de"}, score=0.25, prediction=n % 2, key=key, unit=unit, version="v1"
            )
            child = recorder.record({"x": 1.0}, root_id=name, parent_id=name, role="shadow", version="v2", score=0.5)
            recorder.call(name, cost_nano_usd=1000)
            recorder.call(child, cost_nano_usd=500)
            recorder.outcome(n % 2, key=key)
            recorder.outcome(1, prediction_id=name, revision=1)
    recorder.record({"x": "text"}, key=FORGOTTEN, unit="unit-8841-forget-me")  # goes to quarantine
    clock.set(START + 41 * HOUR)


def canonical(table: StateTable) -> dict[tuple[object, ...], list[float]]:
    place = table.kind.keys.index("bucket")
    sums = len(table.kind.sums)
    rows = zip(table.keys, table.values, strict=True)
    return {(*key[:place], *key[place + 1 :]): values.tolist() for key, values in rows if any(values[:sums])}


def assert_states_equal_rows(layout: Layout, window: Window) -> None:
    model, now = layout.model("m"), layout.clock.now()
    with Summaries.reading(layout.summaries("m")) as summaries, Snapshot(layout, "m") as snapshot:
        kept = KeptEvidence(layout, model, now, now, summaries)
        rows = RowEvidence(snapshot.connection, model, snapshot.columns, now)
        rows.definition = kept.definition
        try:
            for left, right in (
                (kept.quality(window), rows.quality(window)),
                (kept.traffic(window), rows.traffic(window)),
                (kept.spending(window), rows.spending(window)),
            ):
                found, expected = canonical(left), canonical(right)
                assert found.keys() == expected.keys()
                for key, values in found.items():
                    np.testing.assert_allclose(values, expected[key], rtol=1e-9, atol=1e-9, err_msg=str(key))
            assert not kept.news
        finally:
            kept.close()


@pytest.mark.parametrize("by", ["key", "unit"])
@pytest.mark.parametrize("is_shipped", [True, False])
def test_forgetting_erases_every_trace_and_nothing_of_others(by: str, *, is_shipped: bool) -> None:
    with temporary_store(MODEL, replay_now=START) as (layout, spool):
        record_two_keys(layout, Recorder(layout, "m", spool=spool))
        spool.close()
        if is_shipped:
            tick(layout)
        assert files_with(layout.root, FORGOTTEN)
        erased = forget(layout, layout.model("m"), **{by: FORGOTTEN if by == "key" else "unit-8841-forget-me"})
        assert erased.rows == {"predictions": 80, "calls": 80, "outcomes": 80, "quarantine": 1}
        tick(layout)
        assert count(layout, "predictions") == 80
        assert count(layout, f"predictions WHERE key = '{FORGOTTEN}0' AND unit = 'unit-8841-forget-me-not'") == 40
        assert (count(layout, "calls"), count(layout, "outcomes"), count(layout, "quarantine")) == (80, 80, 0)
        others = "SELECT 1 FROM predictions AS p WHERE p.prediction_id = t.prediction_id"
        assert count(layout, f"calls AS t WHERE NOT EXISTS ({others})") == 0
        assert count(layout, f"outcomes AS t WHERE prediction_id IS NOT NULL AND NOT EXISTS ({others})") == 0
        assert traces_of(layout.root, FORGOTTEN, "0") == []
        assert traces_of(layout.root, "unit-8841-forget-me", "-not") == []
        assert_states_equal_rows(layout, Window(START, START + 40 * HOUR))


def traces_of(root: Path, text: str, other: str) -> list[Path]:
    """Return every file in which a text stands that does not go on as another one."""
    found, longer = text.encode(), f"{text}{other}".encode()
    contents = [(path, path.read_bytes()) for path in root.rglob("*") if path.is_file()]
    return [path for path, content in contents if content.count(found) > content.count(longer)]


def test_forgetting_waits_for_the_open_segment_of_a_live_recorder(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    code = """
import sys
from pathlib import Path
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool
layout = Layout.open(Path(sys.argv[1]))
recorder = Recorder(layout, "m", spool=Spool(layout, flush_seconds=0.02, rotate_seconds=0.3))
name = recorder.record({"x": 1.0}, score=0.5, key="forget-me-now")
recorder.outcome(1, prediction_id=name)
recorder.flush()
print("ready", flush=True)
import select
n = 0
while not select.select([sys.stdin], [], [], 0.005)[0]:
    n += 1
    recorder.record({"x": 1.0}, score=0.5, key=f"live-{n}")
recorder.close()
print(n)
"""
    arguments = [sys.executable, "-c", code, str(layout.root)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as live:
        assert live.stdout is not None
        assert live.stdout.readline() == "ready\n"
        erased = forget(layout, layout.model("m"), key="forget-me-now")
        assert erased.rows["predictions"] == erased.rows["outcomes"] == 1
        rest, _ = live.communicate("stop", timeout=60)
    assert files_with(layout.root, "forget-me-now") == []
    ship(layout, grace_seconds=-1)
    recorded = int(rest)
    assert recorded > 0
    found = query(layout, "SELECT count(*), count(DISTINCT key), min(left(key, 5)) FROM predictions")
    assert found == [(recorded, recorded, "live-")]
    assert count(layout, "outcomes") == 0


def test_what_a_feature_still_holds_is_named() -> None:
    with temporary_store() as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        recorder.record({"friend": "customer-1"}, key="customer-2")
        recorder.record({"friend": "nobody"}, key="customer-1")
        recorder.close()
        with pytest.raises(StoreError, match="'customer-1' is still found in lake") as caught:
            forget(layout, layout.model("m"), key="customer-1")
        assert "drop that feature" in caught.value.hint


def test_a_short_key_is_forgotten_like_any_other() -> None:
    with temporary_store() as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        for n in range(200):
            recorder.record({"x": float(n)}, key=str(n))
        recorder.close()
        tick(layout)
        assert forget(layout, layout.model("m"), key="42").rows["predictions"] == 1
        assert count(layout, "predictions") == 199


def test_a_word_that_is_cut_where_a_value_goes_on_in_another_page_is_not_taken_for_its_beginning(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE state (blob BLOB)")
        # With so many lengths before it some are cut right there: at the end of a page, and of the part before it.
        blobs = [b"-" * pad + b" order-100 " + b"-" * (pad * 7 % 4096) for pad in range(4000, 9000)]
        connection.executemany("INSERT INTO state VALUES (?)", [(blob,) for blob in blobs])
        connection.commit()
    content = path.read_bytes()
    assert any(content[at.end()] not in b"0" for at in re.finditer(rb"order-10", content))
    assert not _holds(path, b"order-10")
    assert _holds(path, b"order-100")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO state VALUES (' order-10 ')")
        connection.commit()
    assert _holds(path, b"order-10")


def test_nothing_of_it_stays_between_the_values_of_the_kept_states(tmp_path: Path) -> None:
    """Names in the states of an hour move when one of them goes, and here SQLite leaves a copy of a page's rest."""
    begun, minute = START + 21 * HOUR + 4 * HOUR // 60 + 45_000_000, HOUR // 60
    layout = Layout.create(tmp_path / "store", replay_now=begun + 87 * HOUR + 19 * minute)
    recorder = Recorder(layout, "m", version="v1", spool=Spool(layout))
    for n in range(300):
        at, name = begun + n * minute, f"id-{n:027}"
        recorder.record(
            {"txn": f"txn-{n}", "amount": float(n)},
            score=n % 100 / 100,
            key=f"txn-{n}",
            predicted_at=at,
            prediction_id=name,
        )
        recorder.outcome(n % 100 >= 50, prediction_id=name, observed_at=at)
    recorder.close()
    layout.declare(Model("m", cohorts=(Cohort("transaction", by="txn"),)))
    tick(layout)
    assert forget(layout, layout.model("m"), key="txn-10").total == 2
    assert not list(traces(layout.root, "txn-10", "m"))
