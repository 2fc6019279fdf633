"""Classes, rankings and graded texts: from files and from a store, the numbers are those of the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, ndcg_score

import setpoint
from setpoint.control.loop import tick
from setpoint.core.clock import DAY, HOUR
from setpoint.core.errors import DeclarationError, UsageError
from setpoint.core.model import Cohort, Model, OutcomeKind, Policy, Success, Task
from setpoint.declare.load import load_project, load_text
from setpoint.predictions.recorder import Recorder
from setpoint.project.datasets import build
from setpoint.project.init import Given, draft, write
from setpoint.project.keeping import import_file
from setpoint.store.layout import Layout, ReplayClock
from setpoint.testing import Traffic, simulate, temporary_store

START = 1_767_225_600_000_000
CLASSES = ("bird", "cat", "dog")
JUDGED = (OutcomeKind("people"), OutcomeKind("llm", final=False, judge=True, cost_usd=0.01))


def metrics(answer: setpoint.Answer, table: str = "metrics") -> dict[str, tuple[Any, ...]]:
    return {str(row[0]): row[1:] for row in answer.table(table).rows}


def near(found: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {
        name: tuple(pytest.approx(one) if isinstance(one, float) else one for one in row) for name, row in found.items()
    }


def animals(rows: int = 1500) -> tuple[pl.DataFrame, np.ndarray]:
    rng = np.random.default_rng(3)
    came = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    scores = rng.dirichlet(np.ones(3), rows) + 0.35 * np.eye(3)[came]
    scores /= scores.sum(axis=1, keepdims=True)
    frame = pl.DataFrame(
        {
            "ts": START + np.arange(rows) * 60_000_000,
            "prediction": [CLASSES[n] for n in scores.argmax(axis=1)],
            "outcome": [CLASSES[n] for n in came],
            **{f"proba_{name}": scores[:, n] for n, name in enumerate(CLASSES)},
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    return frame, scores


def test_classes_of_a_file_are_measured_as_scikit_learn_does() -> None:
    frame, scores = animals()
    log = setpoint.read(frame, scores="proba_*")
    answer = log.quality()
    found = metrics(answer)
    came, answered = frame["outcome"], frame["prediction"]
    assert found["accuracy"][0] == pytest.approx(accuracy_score(came, answered))
    assert found["macro_f1"][0] == pytest.approx(f1_score(came, answered, average="macro"))
    assert found["macro_recall"][0] == pytest.approx(balanced_accuracy_score(came, answered))
    assert found["log_loss"][0] == pytest.approx(log_loss(came, scores, labels=list(CLASSES)))
    truth = np.eye(3)[[CLASSES.index(name) for name in came]]
    assert found["brier"][0] == pytest.approx(float(((scores - truth) ** 2).sum(axis=1).mean()))
    assert found["mean_confidence"][0] == pytest.approx(float(scores.max(axis=1).mean()))
    assert all(low < value < high for value, low, high, *_ in found.values())
    worst = answer.table("classes").rows[0]
    each = [f1_score(came == name, answered == name) for name in CLASSES]
    assert worst[0] == CLASSES[int(np.argmin(each))]
    mistakes = answer.table("confusions").rows
    assert sum(float(str(row[2])) for row in mistakes) == int((came != answered).sum())
    assert mistakes == sorted(mistakes, key=lambda row: -float(str(row[2])))
    assert "confidence" in answer.text()


def test_scores_may_be_a_struct_a_map_or_json_and_decide_without_a_prediction() -> None:
    frame, _ = animals(300)
    names = [f"proba_{name}" for name in CLASSES]
    struct = frame.select("outcome", scores=pl.struct(*(pl.col(f"proba_{n}").alias(n) for n in CLASSES)))
    text = struct.with_columns(scores=pl.col("scores").struct.json_encode())
    plain = metrics(setpoint.read(frame.drop("ts"), scores="proba_*").quality())
    assert metrics(setpoint.read(struct).quality()) == near(plain)
    assert metrics(setpoint.read(text, scores="scores").quality()) == near(plain)
    without = metrics(setpoint.read(frame.drop("ts", *names), model=Model("", task=Task.MULTICLASS)).quality())
    assert without["accuracy"] == plain["accuracy"]
    assert "record scores=" in str(without["log_loss"])


def ranked(rows: int = 400) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    order = np.array([rng.permutation(12) for _ in range(rows)])
    gain = np.where(rng.random((rows, 12)) < 0.2, rng.integers(1, 4, (rows, 12)), 0)
    outcome = [{f"i{n}": int(g) for n, g in enumerate(row) if g} for row in gain]
    frame = pl.DataFrame(
        {
            "ranking": [[f"i{n}" for n in row] for row in order],
            "outcome": [str(one).replace("'", '"') for one in outcome],
        }
    )
    return frame, order, gain


def test_why_nothing_can_be_said_is_that_of_the_metric_in_question() -> None:
    frame = animals(300)[0].select("ts", "prediction", "outcome")
    over = "2026-01-01..2026-01-02"
    answer = setpoint.read(frame, score="", task="multiclass").status(over=over)
    assert metrics(answer)["log_loss"][0] is None  # no probabilities were given, which is not what is missing
    assert answer.headline == (
        "cannot say whether it works: no expectation is declared and there is nothing to compare with"
    )


def test_rankings_of_a_file_are_measured_as_scikit_learn_does() -> None:
    frame, order, gain = ranked()
    model = Model("", task=Task.RANKING, success=Success(top=5, catalogue=24))
    answer = setpoint.read(frame, model=model).quality()
    found = metrics(answer)
    scores = np.empty_like(order)
    np.put_along_axis(scores, order, np.arange(12, 0, -1)[np.newaxis, :].repeat(len(order), axis=0), axis=1)
    assert found["ndcg_at_k"][0] == pytest.approx(ndcg_score(gain, scores, k=5))
    top = np.take_along_axis(gain, order[:, :5], axis=1) > 0
    known = (gain > 0).sum(axis=1)
    assert found["recall_at_k"][0] == pytest.approx(
        float(np.where(known, top.sum(axis=1) / np.maximum(known, 1), 0).mean())
    )
    assert found["hit_rate_at_k"][0] == pytest.approx(float(top.any(axis=1).mean()))
    shown = metrics(answer, "exposure")
    assert shown["items_shown"][0] == 12.0
    assert shown["coverage"][0] == 0.5
    assert 0.5 <= shown["exposure_gini"][0] < 0.6


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("i3", (1.0, 1.0)),
        ('["i3"]', (1.0, 1.0)),
        (None, (None, None)),
        ('["i3", "i3", "nowhere"]', (1.0 / (1.0 + 1.0 / np.log2(3)), 0.5)),
        ('{"i3": 2, "i4": 0, "i5": -1, "i6": null}', (1.0, 1.0)),
        ("[]", (0.0, 0.0)),
        ("{not json", (None, None)),
    ],
)
def test_what_was_relevant_may_be_an_item_a_list_or_gains(
    outcome: str | None, expected: tuple[float | None, float | None]
) -> None:
    # Of a row without a ranking nobody can say how good it was.
    shown = [*[["i3", "i3", "i4", "i5"]] * 30, None]
    frame = pl.DataFrame({"ranking": shown, "outcome": [*[outcome] * 30, "i3"]})
    found = metrics(setpoint.read(frame, model=Model("", task=Task.RANKING)).quality())
    assert (found["ndcg_at_k"][0], found["recall_at_k"][0]) == pytest.approx(expected)


def texts(rows: int = 2000, people: int = 300) -> pl.DataFrame:
    rng = np.random.default_rng(9)
    good = rng.random(rows) < 0.7
    judge = np.where(good | (rng.random(rows) < 0.4), "pass", "fail")
    grades = [("pass" if g else "fail") if n < people else None for n, g in enumerate(good)]
    return pl.DataFrame({"judge": judge, "outcome": grades, "length": rng.integers(10, 500, rows)})


def test_a_judge_is_corrected_by_the_people_who_graded_the_same() -> None:
    frame = texts()
    model = Model("", task=Task.GENERATION, outcomes=JUDGED)
    answer = setpoint.read(frame, model=model).quality()
    found = metrics(answer)
    value, low, high = found["success_rate"][:3]
    assert low < 0.7 < high
    judge = (frame["judge"] == "pass").mean()
    assert isinstance(judge, float)
    assert judge > high, "taken at its word the judge would be wrong"
    plain = metrics(setpoint.read(frame.drop("judge"), model=Model("", task=Task.GENERATION)).quality())
    assert high - low < plain["success_rate"][2] - plain["success_rate"][1]
    assert "judge_bias" not in plain
    assert found["judge_bias"][0] == pytest.approx(0.12, abs=0.06)
    assert 0.8 < found["judge_agreement"][0] < 0.95
    assert "1,700 predictions that only llm graded count too, less its bias" in answer.text()
    assert "people grade a random part" in answer.text()
    assert value is not None


def test_a_judge_without_people_is_refused() -> None:
    frame = texts().with_columns(outcome=pl.lit(None, dtype=pl.String))
    answer = setpoint.read(frame, outcome="outcome", model=Model("", task=Task.GENERATION, outcomes=JUDGED)).quality()
    assert answer.verdict is setpoint.Verdict.UNKNOWN
    assert "needs 30 more predictions that people graded as well as the judge" in answer.headline


@pytest.mark.parametrize(
    ("grades", "at_least", "expected"),
    [
        (["win", "loss", "tie", "won"], 1.0, (0.5, 0.625)),
        (["win", "loss", "tie", "won"], 0.5, (0.75, 0.625)),
        (["5", "4", "1", "2"], 4.0, (0.5, 3.0)),
        ([True, False, True, True], 1.0, (0.75, 0.75)),
    ],
)
def test_grades_may_be_words_or_numbers(grades: list[object], at_least: float, expected: tuple[float, float]) -> None:
    frame = pl.DataFrame({"outcome": grades * 20, "length": range(80)})
    model = Model("", task=Task.GENERATION, success=Success(at_least=at_least))
    found = metrics(setpoint.read(frame, model=model).quality())
    assert (found["success_rate"][0], found["mean_grade"][0]) == pytest.approx(expected)


def test_a_grade_that_cannot_be_read_is_said() -> None:
    frame = pl.DataFrame({"outcome": ["fine", "so so"] * 20, "length": range(40)})
    answer = setpoint.read(frame, model=Model("", task=Task.GENERATION)).status()
    said = "40 outcomes are no grades: record numbers, pass or fail, win, tie or loss"
    assert said in answer.text()
    detail = setpoint.read(frame, model=Model("", task=Task.GENERATION)).quality()
    assert said in detail.headline


def test_the_task_of_a_file_is_guessed() -> None:
    animals_, _ = animals(60)
    assert metrics(setpoint.read(animals_, scores="proba_*").status()).keys() >= {"accuracy", "macro_f1"}
    assert metrics(setpoint.read(ranked(60)[0]).status()).keys() >= {"ndcg_at_k"}
    assert metrics(setpoint.read(texts(60, 40)).status()).keys() >= {"success_rate", "judge_bias"}


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.RANKING, Task.GENERATION])
def test_every_answer_works_on_a_store(task: Task) -> None:
    kinds = JUDGED if task is Task.GENERATION else (OutcomeKind(),)
    kinds = tuple(OutcomeKind("judge", final=False, judge=True, cost_usd=0.01) if k.judge else k for k in kinds)
    model = Model("m", task=task, outcomes=kinds, cohorts=(Cohort("country", by="country"),))
    with temporary_store(model, replay_now=START) as (layout, spool):
        simulate(layout, spool, "m", Traffic(start=START, days=16.0, per_day=150, task=task))
        spool.close()
        clock_to(layout, layout.clock.now())
        log = setpoint.open(layout.root)
        headline = {"multiclass": "accuracy", "ranking": "ndcg_at_k", "generation": "success_rate"}[task]
        assert metrics(log.status(over="10d"))[headline][0] is not None
        by = log.quality(over="16d", by="country")
        assert len(by.table("by_country").rows) == 5
        assert all(row[3] is not None for row in by.table("by_country").rows)
        assert headline in log.why("m", headline).headline
        assert log.cohorts(over="16d").verdict is not setpoint.Verdict.UNKNOWN
        assert log.outcomes(over="16d").verdict is not setpoint.Verdict.UNKNOWN
        assert log.diff().verdict is not setpoint.Verdict.BREACH
        lines = {row[0] for row in log.cost(over="16d").table("lines").rows}
        assert ("judge" in lines) == (task is Task.GENERATION)
        with pytest.raises(UsageError, match=f"a {task} model has no budget"):
            log.cohorts(budget=0.2)
        with pytest.raises(UsageError, match=f"a {task} model has no budget"):
            log.quality(budget=0.2)


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.RANKING, Task.GENERATION])
def test_a_file_that_is_imported_answers_as_when_it_is_read(task: Task, tmp_path: Path) -> None:
    table = {Task.MULTICLASS: animals(300)[0], Task.RANKING: ranked(300)[0], Task.GENERATION: texts(300, 100)}
    frame = table[task].with_columns(
        ts=(pl.lit(START) + pl.int_range(pl.len()) * 60_000_000).cast(pl.Datetime("us", "UTC"))
    )
    path = tmp_path / "history.parquet"
    frame.write_parquet(path)
    roles = {"scores": "proba_*"} if task is Task.MULTICLASS else {}
    kinds = (
        (OutcomeKind(), OutcomeKind("llm", final=False, judge=True)) if task is Task.GENERATION else (OutcomeKind(),)
    )
    with temporary_store(Model("m", task=task, outcomes=kinds), replay_now=START + 10 * DAY) as (layout, _):
        _, notes = import_file(layout.root, "m", str(path), columns=roles)
        kept = metrics(setpoint.open(layout.root).quality())
    model = Model("", task=task, outcomes=kinds)
    read = metrics(setpoint.read(path, model=model, scores=roles.get("scores", "")).quality())
    assert kept == near(read)
    assert ("judge: 'judge', 300 grades" in notes) == (task is Task.GENERATION)


def test_grades_of_a_judge_that_nobody_declared_are_said_to_be_left_out(tmp_path: Path) -> None:
    with temporary_store(Model("m", task=Task.GENERATION), replay_now=START + 10 * DAY) as (layout, _):
        path = tmp_path / "timed.parquet"
        times = pl.lit(START) + pl.int_range(60) * 60_000_000
        texts(60, 40).with_columns(ts=times.cast(pl.Datetime("us", "UTC"))).write_parquet(path)
        _, notes = import_file(layout.root, "m", str(path))
    assert any("no kind of outcome is declared as a judge's" in note for note in notes)


def test_a_declaration_is_drafted_for_each_task(tmp_path: Path) -> None:
    found = draft(texts(200, 100), Given("texts"))
    assert (found.model.task, found.model.judge_kind) == (Task.GENERATION, "judge")
    write(found, tmp_path)
    assert load_project(tmp_path).models["texts"] == found.model
    assert draft(ranked(200)[0], Given("search")).model.task is Task.RANKING
    assert draft(animals(200)[0], Given("pets", columns={"scores": "proba_*"})).model.task is Task.MULTICLASS


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.RANKING, Task.GENERATION])
def test_examples_to_train_on_hold_what_was_answered_and_what_came(task: Task, tmp_path: Path) -> None:
    with temporary_store(Model("m", task=task, free_text="keep"), replay_now=START) as (layout, spool):
        simulate(layout, spool, "m", Traffic(start=START, days=2.0, per_day=100, task=task))
        spool.close()
        clock_to(layout, START + 4 * DAY)
        made = build(layout, "m", tmp_path / "examples.parquet", over="2026-01-01..2026-01-03")
    told = {
        Task.MULTICLASS: "prediction = 'high', outcome, map_keys(scores)",
        Task.RANKING: "len(ranking), len(map_keys(outcome)), map_keys(outcome)",
        Task.GENERATION: "text, outcome, []",
    }
    found = duckdb.execute(f"SELECT {told[task]} FROM {str(made.path)!r}").fetchall()
    assert len(found) == made.selection.kept
    for answered, came, names in found:
        if task is Task.MULTICLASS:
            assert (answered in {True, False}, came in {"high", "middle", "low"}, len(names)) == (True, True, 3)
        elif task is Task.RANKING:
            assert (answered, came <= 3) == (12, True)
            assert all(name.startswith("item-") for name in names)
        else:
            assert (answered, came in {0.0, 1.0}) == ("an answer", True)


def test_the_calls_of_a_judge_are_no_part_of_what_an_answer_costs() -> None:
    model = Model("m", task=Task.GENERATION)
    with temporary_store(model, replay_now=START) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        for n in range(40):
            clock_to(layout, START + n * HOUR)
            name = recorder.record(text="an answer")
            recorder.call(name, cost_nano_usd=1_000_000)
            recorder.call(name, cost_nano_usd=3_000_000, purpose="judge")
            recorder.outcome("pass" if n % 2 else "fail", prediction_id=name)
        recorder.flush()
        clock_to(layout, START + 2 * DAY)
        answer = setpoint.open(layout.root).cost()
        lines = {row[0]: row[1:3] for row in answer.table("lines").rows}
        assert lines == {"calls": (pytest.approx(0.04), 40), "judging": (pytest.approx(0.12), 40)}
        assert metrics(answer)["cost_per_success_usd"][0] == pytest.approx(0.16 / 20)
        assert metrics(answer)["cost_per_prediction_usd"][0] == pytest.approx(0.16 / 40)


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.RANKING, Task.GENERATION])
def test_quality_before_outcomes_is_estimated_and_audited_where_something_tells_it(task: Task) -> None:
    model = Model("m", task=task, outcome_horizon=2 * DAY)
    with temporary_store(model, replay_now=START) as (layout, spool):
        length = 105 if task is Task.MULTICLASS else 20
        traffic = Traffic(
            start=START, days=length + 1.0, per_day=60, task=task, by_key=0.0, late=20.0, children=0.0, never=0.0
        )
        simulate(layout, spool, "m", traffic, pauses=(START + length * DAY,))
        spool.close()
        clock_to(layout, layout.clock.now())
        found = tick(layout)
        log = setpoint.open(layout.root)
        young = log.status(over="6h")
        audits: list[Any] = [row for one in log.quality(over="30d").tables if one.name == "audits" for row in one.rows]
        assert found is not None
        if task is not Task.MULTICLASS:
            assert not audits
            assert [table for table in young.tables if table.name == "estimates"] == []
            return
        low, high = metrics(young, "estimates")["estimated_accuracy"][1:3]
        assert low < metrics(log.status(over="30d"))["accuracy"][0] < high
        assert {metric for _, metric, *_ in audits} == {"accuracy"}
        assert all(low <= measured <= high for _, _, _, low, high, measured in audits)


def test_text_is_dropped_unless_it_is_kept_on_purpose() -> None:
    secret = "the customer's own words " * 20
    policies: tuple[Policy, ...] = ("drop", "keep", "hash", "redact")
    for policy in policies:
        with temporary_store(Model("m", task=Task.GENERATION, free_text=policy), replay_now=START) as (layout, spool):
            recorder = Recorder(layout, "m", spool=spool)
            recorder.record(text=secret, prediction=secret)
            recorder.flush()
            assert any(secret.encode() in path.read_bytes() for path in files(layout.root)) is (policy == "keep")


def test_outcomes_of_any_spelling_share_a_column() -> None:
    with temporary_store(Model("m", task=Task.RANKING), replay_now=START) as (layout, spool):
        recorder = Recorder(layout, "m", spool=spool)
        outcomes: tuple[object, ...] = (7, "7", [7.0, "x"], {"7": 1.0}, {7: 2}) * 4
        for outcome in outcomes:
            recorder.outcome(outcome, prediction_id=recorder.record(ranking=[7, "y"]))
        recorder.flush()
        clock_to(layout, START + HOUR)
        found = setpoint.open(layout.root).quality()
        assert metrics(found)["hit_rate_at_k"][:2] == (1.0, pytest.approx(0.84, abs=0.01))
        assert found.because[1].startswith("20 predictions, outcomes have arrived for 100.0 %")


def test_declarations_say_what_does_not_fit() -> None:
    bad = {
        "task: ranking\nsuccess: {threshold: 0.5}": "found threshold for a ranking model",
        "task: multiclass\noutcomes: {a: {final: true}, b: {judge: true}}": "found a judge for a multiclass model",
        "task: generation\noutcomes: {a: {final: true, judge: true}}": "found a judge marked final",
        "task: generation\nquality: {judge_bias: {at_most: 1}}": "found no judge among the outcomes",
        "task: generation\nquality: {auc: {at_least: 0.7}}": "a generation model has no metric of this name",
    }
    for text, said in bad.items():
        with pytest.raises(DeclarationError, match=said):
            load_text(text, "m")


def clock_to(layout: Layout, at: int) -> None:
    assert isinstance(layout.clock, ReplayClock)
    layout.clock.set(at)
    layout.clock.save()


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]
