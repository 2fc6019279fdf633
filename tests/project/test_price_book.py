"""From `prices.yaml` to the cost of a call: put in force, recorded, checked, and priced anew by rows that are added."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from setpoint.cli import main
from setpoint.control.loop import tick
from setpoint.core.clock import HOUR, micros
from setpoint.core.verdict import Verdict
from setpoint.predictions.pricing import reprice
from setpoint.predictions.recorder import Recorder
from setpoint.project.keeping import ship_if_free
from setpoint.project.log import open_log
from setpoint.project.plan import apply, plan
from setpoint.project.price_book import check_prices
from setpoint.store.engines.duck import rows
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.snapshot import Snapshot

START = datetime(2026, 3, 1, tzinfo=UTC)
PRICES = """\
prices:
  - provider: openai
    model: mini
    since: 2026-01-01
    per_million_tokens: {input: 0.25, output: 2}
"""


def project(folder: Path, prices: str = PRICES) -> Path:
    Layout.create(folder / "store", replay_now=micros(START))
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "chat.yaml").write_text("task: binary\n")
    (folder / "prices.yaml").write_text(prices)
    return folder


def wait(layout: Layout, hours: float) -> None:
    assert isinstance(layout.clock, ReplayClock)
    layout.clock.set(layout.clock.now() + round(hours * HOUR))
    layout.clock.save()


def recorded(folder: Path, *, calls: int = 4, **fields: float | str) -> Layout:
    """Record predictions with a call each, an hour apart; outcomes come at once."""
    layout = Layout.create(folder / "store", replay_now=micros(START))
    recorder = Recorder(layout, "chat", version="v1")
    told = {"provider": "openai", "provider_model": "mini", "input_tokens": 1000, "output_tokens": 100, **fields}
    for n in range(calls):
        name = recorder.record({"n": float(n)}, score=0.9, prediction=1)
        recorder.call(name, **told)  # pyright: ignore[reportArgumentType] — by name
        recorder.outcome(1, prediction_id=name)
        wait(layout, 1)
    assert recorder.close()
    return layout


def costs(layout: Layout) -> list[int | None]:
    with Snapshot(layout, "chat") as snapshot:
        return [row[0] for row in rows(snapshot.connection, "SELECT cost_nano_usd FROM calls ORDER BY called_at")]  # pyright: ignore[reportReturnType]


def added(layout: Layout) -> int:
    with Snapshot(layout, "chat") as snapshot:
        return int(str(rows(snapshot.connection, "SELECT count(*) FROM call_rows WHERE adjusts IS NOT NULL")[0][0]))


def test_a_call_is_priced_when_it_is_recorded(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = recorded(tmp_path)
    assert costs(layout) == [450_000] * 4
    with open_log(tmp_path / "store") as log:
        assert log.cost("chat").table("lines").rows[0][:4] == ("calls", 0.0018, 4, 0)
    assert check_prices(tmp_path / "store").verdict is Verdict.OK


def test_what_was_billed_is_not_looked_up(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = recorded(tmp_path, cost_nano_usd=7, price_id="invoice 7")
    apply(project(tmp_path, PRICES.replace("0.25", "0.5")))
    assert reprice(layout, "chat", layout.price_book()) == []
    assert costs(layout) == [7] * 4


def test_a_call_without_a_price_is_found_and_apply_prices_it(tmp_path: Path) -> None:
    layout = recorded(tmp_path)
    assert costs(layout) == [None] * 4
    found = check_prices(tmp_path / "store", "chat")
    assert (found.verdict, found.exit_code) == (Verdict.BREACH, 1)
    assert found.table("unpriced").rows == [
        ("chat", "openai", "mini", "standard", 4, "2026-03-01 00:00Z", "2026-03-01 03:00Z", "openai/mini has no price")
    ]
    done = apply(project(tmp_path))
    assert done.repriced == ("chat: openai/mini: 4 calls priced anew ($0 before, $0.0018 now, 4 of them had no price)",)
    assert costs(layout) == [450_000] * 4
    assert check_prices(tmp_path / "store").exit_code == 0
    assert apply(project(tmp_path)).is_empty
    assert reprice(layout, "chat", layout.price_book()) == []


def test_a_price_that_was_wrong_is_corrected_by_rows_that_are_added(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = recorded(tmp_path)
    ship_if_free(tmp_path / "store")
    tick(layout)
    before = layout.clock.now()
    wait(layout, 24)

    later = project(tmp_path, PRICES.replace("output: 2", "output: 3"))
    said = plan(later).text(storage=False)
    assert (
        said
        == "~ prices: openai/mini is paid otherwise from 2026-01-01 00:00 UTC on: calls made by now are priced anew"
    )
    assert apply(later).repriced == ("chat: openai/mini: 4 calls priced anew ($0.0018 before, $0.0022 now)",)

    assert (costs(layout), added(layout)) == ([550_000] * 4, 4)
    assert reprice(layout, "chat", layout.price_book()) == []
    tick(layout)
    assert added(layout) == 4
    with open_log(tmp_path / "store") as log:
        assert log.cost("chat").table("lines").rows[0][:4] == ("calls", 0.0022, 4, 0)
        assert log.cost("chat", as_of=before).table("lines").rows[0][:4] == ("calls", 0.0018, 4, 0)
        with log.evidence("chat") as evidence:
            kinds = [(one.kind, one.subject, one.started_at) for one in evidence.changes(None)]
    assert ("price", "openai/mini", micros(datetime(2026, 1, 1, tzinfo=UTC))) in kinds

    apply(project(tmp_path))
    assert (costs(layout), added(layout)) == ([450_000] * 4, 8)


def test_a_price_that_was_entered_late_or_ended_early_holds_for_the_calls_of_its_time(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = recorded(tmp_path)
    entry = PRICES.replace("prices:\n", "")
    late = entry.replace("2026-01-01", "2026-03-01T02:00").replace("0.25", "0.5")
    assert "openai/mini is paid otherwise from 2026-03-01 02:00" in plan(project(tmp_path, PRICES + late)).text()
    apply(project(tmp_path, PRICES + late))
    assert costs(layout) == [450_000, 450_000, 700_000, 700_000]
    long = entry.replace("since: 2026-01-01", "above_input_tokens: 999").replace("0.25", "1")
    assert len(apply(project(tmp_path, PRICES + late + long)).repriced) == 1
    assert costs(layout) == [1_200_000] * 4
    apply(project(tmp_path, PRICES + late + long.replace("999", "1000")))
    assert costs(layout) == [450_000, 450_000, 700_000, 700_000]
    assert reprice(layout, "chat", layout.price_book()) == []


def test_only_calls_since_a_time_are_priced_anew(tmp_path: Path) -> None:
    layout = recorded(tmp_path)
    apply(project(tmp_path, "prices: []\n"))
    layout.put_prices(plan(project(tmp_path)).prices.book)
    assert [
        one.calls for one in reprice(layout, "chat", layout.price_book(), since=micros(START + timedelta(hours=2)))
    ] == [2]
    assert costs(layout) == [None, None, 450_000, 450_000]


def test_a_price_that_the_book_no_longer_has_is_kept_and_said(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = recorded(tmp_path)
    done = apply(project(tmp_path, PRICES.replace("model: mini", "model: maxi")))
    assert done.repriced == ()
    assert costs(layout) == [450_000] * 4
    assert [one.text for one in reprice(layout, "chat", layout.price_book())] == [
        "openai/mini: 4 calls kept at a price that the book no longer has"
    ]


def test_negative_tokens_are_unknown_and_the_event_is_kept(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = recorded(tmp_path, calls=1, input_tokens=-4)
    assert costs(layout) == [None]
    assert check_prices(tmp_path / "store").table("unpriced").rows[0][-1] == "input_tokens is negative: -4"


def test_what_a_provider_reports_is_priced_by_its_classes_and_garbage_is_unknown(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = recorded(tmp_path, calls=0)
    recorder = Recorder(layout, "chat")
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    for told in (usage, {}, {"prompt_tokens": "many"}, [3], "none"):
        recorder.call("p", provider="openai", provider_model="mini", usage=told)  # pyright: ignore[reportArgumentType]
        wait(layout, 1)
    assert recorder.close()
    assert costs(layout) == [450_000, None, None, None, None]


def test_a_process_that_still_has_the_old_book_is_corrected_by_the_next_tick(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = Layout.open(tmp_path / "store")
    running = Recorder(layout, "chat")
    apply(project(tmp_path, PRICES.replace("0.25", "0.5")))
    running.call(
        running.record({"n": 1.0}), provider="openai", provider_model="mini", input_tokens=1000, output_tokens=0
    )
    assert running.close()
    assert costs(layout) == [250_000]
    assert [(model, one.calls) for model, one in tick(layout).repriced] == [("chat", 1)]
    assert costs(layout) == [500_000]


def test_prices_that_are_declared_no_longer_are_kept(tmp_path: Path) -> None:
    apply(project(tmp_path))
    (tmp_path / "prices.yaml").unlink()
    found = plan(tmp_path)
    assert (found.is_empty, found.text(storage=False)) == (
        True,
        "- prices  in force but declared no longer: kept\nnothing to change",
    )


def test_a_gap_in_time_is_said_by_the_plan(tmp_path: Path) -> None:
    gap = PRICES + PRICES.replace("prices:\n", "").replace("2026-01-01", "2026-05-01")
    gap = gap.replace("since: 2026-01-01", "since: 2026-01-01\n    until: 2026-04-01", 1)
    assert plan(project(tmp_path, gap)).text(storage=False).splitlines()[-1] == (
        "! prices: openai/mini has no price from 2026-04-01 00:00 until 2026-05-01 00:00 UTC"
    )


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["setpoint", *words])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(str(left.value.code or 0)), out, err

    recorded(tmp_path)
    store = ("--store", str(tmp_path / "store"))
    code, out, _ = run("price", "check", *store)
    assert (code, out.splitlines()[0]) == (1, "✗ 4 of 4 calls have no price: what they cost is unknown")
    code, out, _ = run("price", "check", "chat", "--json", *store)
    assert (code, json.loads(out)["tables"]["unpriced"][0]["calls"]) == (1, 4)
    code, _, err = run("price", "check", "chta", *store)
    assert (code, "no model is called 'chta'" in err) == (2, True)
    assert run("price", "reprice", "chat", *store)[:2] == (0, "nothing to change\n")
    apply(project(tmp_path))
    assert run("price", "check", *store)[:2] == (0, "✓ every call has a price: 4\n  1 price in force\n")
