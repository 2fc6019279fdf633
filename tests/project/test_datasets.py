"""Training data: what the policy lets in, why the rest stays out, and the same bytes from the same lock."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import polars as pl
import pytest
from tests import commands

import setpoint
from setpoint.control.loop import tick
from setpoint.control.training_data import largest_group
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Cohort, Model, TrainingData
from setpoint.declare.load import load_text
from setpoint.declare.write import to_yaml
from setpoint.predictions.recorder import Recorder
from setpoint.project.datasets import LOCK_ENDING, build, dataset_diff, rebuild
from setpoint.store.erasure import forget
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.spool import Spool

START = 1_767_225_600_000_000  # 2026-01-01
POLICY = TrainingData(consent="has_consent = true", maturity=DAY, acted_where="prediction = 1", exploration=0.05)
MODEL = Model("m", cohorts=(Cohort("country", by="country"),), training_data=POLICY)
ROWS = 400


def rows() -> list[dict[str, Any]]:
    """Return ten days of rows: some without consent or outcome, some that failed, a few drawn by lot."""
    return [
        {
            "prediction_id": f"p{n:04d}",
            "at": START + n * 10 * DAY // ROWS,
            "country": "de" if n % 4 else "fr",
            "has_consent": n % 10 != 3,
            "error": "timeout" if n % 50 == 7 else None,
            "prediction": int(n % 3 == 0),
            "outcome": None if n % 9 == 5 else int(n % 2 == 0),
            "drawn": n % 40 == 1,
        }
        for n in range(ROWS)
    ]


def served(folder: Path, model: Model = MODEL) -> Layout:
    layout = Layout.create(folder / "store", replay_now=START)
    layout.declare(model)
    clock = layout.clock
    assert isinstance(clock, ReplayClock)
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for row in rows():
        clock.set(row["at"])
        recorder.record(
            {"country": row["country"], "has_consent": row["has_consent"], "x": row["at"] / DAY},
            prediction_id=row["prediction_id"], key=row["prediction_id"], prediction=row["prediction"], score=0.5,
            error=row["error"], assignment_probability=0.1 if row["drawn"] else 1.0, feature_version="f1",
        )  # fmt: skip
        if row["outcome"] is not None:
            recorder.outcome(row["outcome"], prediction_id=row["prediction_id"])
        if row["prediction_id"].endswith("11"):
            recorder.record({"country": "de"}, prediction_id=row["prediction_id"] + "s", root_id=row["prediction_id"],
                            parent_id=row["prediction_id"], role="shadow", version="v2", prediction=1)  # fmt: skip
    recorder.close()
    clock.set(START + 10 * DAY)
    clock.save()
    return layout


def expected(row: dict[str, Any]) -> str | None:
    """Return why a row stays out, as the policy says; None when it is let in."""
    cases: list[tuple[bool, str]] = [
        (row["error"] is not None, "the request failed"),
        (not row["has_consent"], "no consent"),
        (row["at"] > START + 9 * DAY, "not mature yet"),
        (row["outcome"] is None, "no final outcome"),
    ]
    return next((reason for holds, reason in cases if holds), None)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_row_is_let_in_or_has_its_reason(tmp_path: Path) -> None:
    made = build(served(tmp_path), "m", tmp_path / "out" / "a.parquet")
    reasons = Counter(expected(row) for row in rows())
    kept = reasons.pop(None)
    assert made.selection.kept == kept
    shadows = {"shadow only: nobody got it": 4}
    assert made.selection.excluded == {**{str(reason): count for reason, count in reasons.items()}, **shadows}
    examples = pl.read_parquet(made.path)
    want = [row for row in rows() if expected(row) is None]
    assert examples["prediction_id"].to_list() == [row["prediction_id"] for row in want]
    assert examples["outcome"].to_list() == [row["outcome"] for row in want]
    assert examples["caused_by_action"].to_list() == [row["prediction"] == 1 for row in want]
    assert examples["inputs.country"].to_list() == [row["country"] for row in want]
    out = dict(pl.read_parquet(made.excluded).iter_rows())
    assert out == {
        **{row["prediction_id"]: expected(row) for row in rows() if expected(row)},
        **{f"p{n}11s": "shadow only: nobody got it" for n in ("00", "01", "02", "03")},
    }
    lock = json.loads(made.lock.read_text())
    assert lock["feature_versions"] == {"f1": kept}
    assert sum(count for count, _ in lock["days"].values()) == kept
    assert any("drawn by lot, expected at least 5.0 %" in words for words in made.said)
    assert any("brought about by the model's own action" in words for words in made.said)


def test_the_same_lock_makes_the_same_bytes_whatever_came_since(tmp_path: Path) -> None:
    layout = served(tmp_path)
    made = build(layout, "m", tmp_path / "a.parquet", over="2026-01-01..2026-01-08")
    recorder, clock = Recorder(layout, "m", spool=Spool(layout)), layout.clock
    assert isinstance(clock, ReplayClock)
    clock.set(START + 12 * DAY)
    for row in rows()[:50]:  # corrected since
        recorder.outcome(1, prediction_id=row["prediction_id"], revision=1)
    recorder.close()
    clock.save()
    tick(layout)
    again = rebuild(layout, made.lock, tmp_path / "b.parquet")
    assert (sha(again.path), again.content_hash) == (sha(made.path), made.content_hash)
    assert sha(again.excluded) == sha(made.excluded)
    assert json.loads(again.lock.read_text()) == json.loads(made.lock.read_text())
    now = build(layout, "m", tmp_path / "c.parquet", over="2026-01-01..2026-01-08")
    answer = dataset_diff(made.path, now.path)
    counts = {str(name): int(str(count)) for name, count in answer.table("rows").rows}
    assert counts["corrected"] == sum(expected(row) is None and row["outcome"] == 0 for row in rows()[:50])
    assert counts["added"] > 0  # outcomes that were missing have come
    assert "corrected outcomes" in answer.headline
    same = dataset_diff(made.path, again.path)
    assert same.headline == "m: the two data sets are the same"


def test_erased_rows_are_said_by_day(tmp_path: Path) -> None:
    layout = served(tmp_path)
    made = build(layout, "m", tmp_path / "a.parquet")
    gone = [row for row in rows() if expected(row) is None][:2]
    for row in gone:
        forget(layout, layout.model("m"), key=row["prediction_id"])
    again = rebuild(layout, made.lock, tmp_path / "b.parquet")
    assert again.selection.kept == made.selection.kept - 2
    assert again.content_hash != made.content_hash
    per_day = json.loads(made.lock.read_text())["days"]["2026-01-01"][0]
    assert f"rows erased: 2 of {per_day} examples of 2026-01-01 are gone" in again.said


def test_a_lock_of_which_nothing_is_left_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    layout = served(tmp_path)
    made = build(layout, "m", tmp_path / "a.parquet")
    other = Layout.create(tmp_path / "other")
    other.declare(layout.model("m"))
    with pytest.raises(setpoint.UsageError, match=f"nothing is left of the {made.selection.kept} examples"):
        rebuild(other, made.lock, tmp_path / "b.parquet")
    assert not (tmp_path / "b.parquet").exists()


def test_a_quota_that_chooses_anew_is_no_changed_declaration(tmp_path: Path) -> None:
    layout = served(tmp_path, replace(MODEL, training_data=TrainingData(quotas=(("country", 0.6),))))
    made = build(layout, "m", tmp_path / "a.parquet")
    excluded = pl.read_parquet(tmp_path / "a.parquet.excluded.parquet")
    beyond = excluded.filter(pl.col("reason").str.starts_with("quota"))["prediction_id"][0]
    forget(layout, layout.model("m"), key=beyond)
    assert rebuild(layout, made.lock, tmp_path / "b.parquet").content_hash == made.content_hash
    for name in pl.read_parquet(made.path)["prediction_id"][:3]:
        forget(layout, layout.model("m"), key=name)
    again = rebuild(layout, made.lock, tmp_path / "c.parquet")
    assert again.said[0] == f"rows erased: 4 of {made.selection.rows} predictions are gone"
    assert not any("declaration" in said for said in again.said)
    other = json.loads(made.lock.read_text()) | {"model": "n"}
    again.lock.write_text(json.dumps(other))
    answer = dataset_diff(made.path, again.path)
    assert answer.headline.startswith("m and n: ")
    assert answer.because[0] == "these are examples of two models: no row can be in both"


def test_what_came_since_an_open_finding_began_stays_out(tmp_path: Path) -> None:
    layout = served(tmp_path, replace(MODEL, training_data=TrainingData()))
    recorder, clock = Recorder(layout, "m", spool=Spool(layout)), layout.clock
    assert isinstance(clock, ReplayClock)
    recorder.outcome(1, key="nobody")
    recorder.close()
    clock.set(START + 10 * DAY + 3 * HOUR)
    assert [finding.kind for finding in tick(layout).findings] == ["stray_outcome"]
    clock.set(START + 10 * DAY + 4 * HOUR)
    late = Recorder(layout, "m", spool=Spool(layout))
    late.record({"country": "de"}, prediction_id="late", prediction=1)
    late.outcome(1, prediction_id="late")
    late.close()
    made = build(layout, "m", tmp_path / "a.parquet")
    out = dict(pl.read_parquet(made.excluded).iter_rows())
    assert out["late"] == "open finding: stray_outcome key since 2026-01-11 00:00"
    assert len(json.loads(made.lock.read_text())["findings"]) == 1


def test_quotas_hold_and_rows_drawn_by_lot_stay(tmp_path: Path) -> None:
    layout = served(tmp_path, replace(MODEL, training_data=TrainingData(quotas=(("country", 0.6),))))
    examples = pl.read_parquet(build(layout, "m", tmp_path / "a.parquet").path)
    share = (examples["inputs.country"] == "de").mean()
    assert isinstance(share, float)
    assert 0.58 < share <= 0.6
    drawn = {row["prediction_id"] for row in rows() if row["drawn"] and row["outcome"] is not None and not row["error"]}
    assert drawn <= set(examples["prediction_id"])
    impossible = served(tmp_path / "2", replace(MODEL, training_data=TrainingData(quotas=(("country", 0.4),))))
    with pytest.raises(setpoint.UsageError, match="have 2 values of country, which cannot have 40 % each"):
        build(impossible, "m", tmp_path / "b.parquet")
    unknown = served(tmp_path / "3", replace(MODEL, training_data=TrainingData(quotas=(("shop", 0.4),))))
    with pytest.raises(setpoint.UsageError, match="names 'shop', which is no cohort"):
        build(unknown, "m", tmp_path / "c.parquet")


@pytest.mark.parametrize(("counts", "share"), [([70, 20, 10], 0.5), ([100, 100, 100], 1 / 3), ([1000, 10, 10], 0.4)])
def test_no_group_has_more_than_its_share(counts: list[int], share: float) -> None:
    most = largest_group(counts, share)
    left = [min(count, most) for count in counts]
    assert max(left) <= share * sum(left) + 1
    more = [min(count, most + 1) for count in counts]
    assert max(more) > share * sum(more) or more == left


def _damaged(lock: Path) -> None:
    lock.write_text("{")


def _newer(lock: Path) -> None:
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "schema": "setpoint.dataset/9"}))


def _of_another(lock: Path) -> None:
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "model": "gone"}))


@pytest.mark.parametrize(
    ("change", "words"),
    [(Path.unlink, "no lock at"), (_damaged, "is no lock"), (_newer, "this version knows"), (_of_another, "'gone'")],
)
def test_a_lock_that_cannot_be_followed_is_refused(tmp_path: Path, change: Callable[[Path], None], words: str) -> None:
    layout = served(tmp_path)
    made = build(layout, "m", tmp_path / "a.parquet")
    change(made.lock)
    with pytest.raises(setpoint.SetpointError, match=words):
        rebuild(layout, made.lock, tmp_path / "b.parquet")


def test_the_policy_is_declared_and_written_back() -> None:
    declared = """
    cohorts: [country]
    training_data:
      consent: has_consent = true
      maturity: 14d
      quotas: {country: 0.5}
      exploration: 0.02
      acted_where: prediction = 1
    """
    model = load_text(declared, "m")
    assert model.training_data.maturity == 14 * DAY
    assert load_text(to_yaml(model, {}, ""), "m") == model


def test_the_commands(tmp_path: Path) -> None:
    layout = served(tmp_path)

    def run(*words: str) -> CompletedProcess[str]:
        return commands.setpoint("dataset", *words, cwd=tmp_path)

    store, out = ("--store", str(layout.root)), tmp_path / "a.parquet"
    built = run("build", "m", "--out", str(out), *store)
    assert built.returncode == 0, built.stderr
    assert "examples of 404 predictions" in built.stdout
    assert "40 excluded: no consent" in built.stdout
    again = run("build", "--lock", f"{out}{LOCK_ENDING}", "--out", str(tmp_path / "b.parquet"), *store)
    assert again.returncode == 0, again.stderr
    same = run("diff", str(out), str(tmp_path / "b.parquet"))
    assert (same.returncode, same.stdout.splitlines()[0]) == (0, "✓ m: the two data sets are the same")
    assert run("build", *store).returncode == 2
    assert "a lock names its model" in run("build", "m", "--lock", "x", *store).stderr
