"""Printing declarations: they read back as the same model, with notes beside their keys."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, get_args

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.core import model as core
from setpoint.core.clock import DAY, MICROS
from setpoint.core.contract import Contract, ContractField, OnViolation, RowCondition
from setpoint.core.metric import QUALITY_METRICS, Distance, QualityMetric
from setpoint.declare.load import load_model, load_text
from setpoint.declare.write import duration_spelling, size_spelling, to_yaml

LETTERS = st.characters(exclude_categories=["Cs"])
ODD = st.sampled_from(
    [
        "NO",
        "null",
        "1e3",
        "12:30",
        "a: b",
        "# x",
        "- a",
        "{",
        "'",
        '"',
        "\t",
        " ",
        "0x1f",
        "=",
        "<<",
        "🙂",
        "\x85\u2028",
        "~",
    ]
)
TEXT = st.text(LETTERS, max_size=12) | ODD
WORD = st.text(LETTERS, min_size=1, max_size=12) | ODD
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
RATE = st.none() | st.floats(0, 1e300)
DURATION = st.integers(1, 150 * 365 * DAY) | st.integers(1, 1000).map(lambda days: days * DAY)
CONDITION = st.sampled_from(["a > 5", "carrier = 'AA'\nOR b", '"x y" IS NULL', "a LIKE '%: #'"])
POLICY: st.SearchStrategy[core.Policy] = st.sampled_from(["keep", "hash", "redact", "drop"])
KIND: st.SearchStrategy[core.FeatureKind] = st.sampled_from(["numeric", "integer", "categorical", "boolean", "text"])


Part = TypeVar("Part")


def some(one: st.SearchStrategy[Part], key: str) -> st.SearchStrategy[tuple[Part, ...]]:
    return st.lists(one, max_size=4, unique_by=lambda value: getattr(value, key)).map(tuple)


FEATURES = some(st.builds(core.Feature, WORD, st.none() | KIND, st.none() | st.floats(0, 1), POLICY), "name")
COHORT = WORD.filter(lambda name: name not in core.GROUPINGS)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def _pairs(told: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(told.items())


def _rising(told: set[float]) -> tuple[float, ...]:
    return tuple(sorted(told))


COHORTS = some(
    st.builds(core.Cohort, COHORT, by=WORD)
    | st.builds(core.Cohort, COHORT, where=CONDITION)
    | COHORT.map(lambda name: core.Cohort(name, by=name))
    | st.builds(core.Cohort, COHORT, by=WORD, part=st.sampled_from(["hour", "weekday"]))
    | st.builds(core.Cohort, COHORT, by=WORD, mapping=st.dictionaries(WORD, WORD, min_size=1).map(_pairs))
    | st.builds(core.Cohort, COHORT, by=WORD, edges=st.sets(FINITE, min_size=1).map(_rising)),
    "name",
)


LIMITS = some(
    st.builds(
        core.DriftLimit,
        st.sampled_from(get_args(Distance)),
        st.floats(0, 1, exclude_min=True, exclude_max=True),
        st.just("") | WORD,
    ),
    "name",
)


def bars(metric: QualityMetric) -> st.SearchStrategy[core.Expectation]:
    low, high = (end if math.isfinite(end) else None for end in (metric.lowest, metric.highest))
    ends = st.lists(st.floats(low, high, allow_nan=False, allow_infinity=False), min_size=2, max_size=2).map(sorted)
    shown = st.sampled_from([(True, False), (False, True), (True, True)])
    return st.tuples(ends, shown, TEXT).map(
        lambda told: core.Expectation(
            metric.name, told[0][0] if told[1][0] else None, told[0][1] if told[1][1] else None, told[2]
        )
    )


def expectations(model: core.Model) -> st.SearchStrategy[tuple[core.Expectation, ...]]:
    known = [
        metric
        for metric in QUALITY_METRICS[model.task]
        if (metric.name != "within_tolerance" or model.success.tolerance is not None)
        and (not metric.name.startswith("judge_") or model.judge_kind)
    ]
    some_metrics = st.lists(st.sampled_from(known), max_size=4, unique=True)
    return some_metrics.flatmap(lambda metrics: st.tuples(*map(bars, metrics)))


OUTCOMES = st.lists(WORD, min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.sampled_from(names).map(
        lambda final: tuple(core.OutcomeKind(name, final=name == final) for name in names)
    )
)


def success(task: core.Task) -> st.SearchStrategy[core.Success]:
    match task:
        case core.Task.BINARY:
            return st.builds(core.Success, threshold=st.none() | NUMBER)
        case core.Task.REGRESSION:
            return st.builds(core.Success, tolerance=RATE)
        case core.Task.RANKING:
            size = st.integers(1, 1000)
            return st.builds(core.Success, top=size, catalogue=st.none() | size)
        case core.Task.GENERATION:
            return st.builds(core.Success, at_least=NUMBER)
        case _:
            return st.just(core.Success())


def judged(kinds: tuple[core.OutcomeKind, ...]) -> tuple[core.OutcomeKind, ...]:
    """Make the first kind that is not final a judge's."""
    proxy = next((kind for kind in kinds if not kind.final), None)
    return tuple(replace(kind, judge=True, cost_usd=0.25) if kind is proxy else kind for kind in kinds)


REACTION = st.sampled_from([OnViolation.WARN, OnViolation.REJECT, OnViolation.SHADOW])
SHORT = st.floats(-1e6, 1e6)
FIELD_NAMES = WORD.filter(lambda name: "," not in name)


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """Return a contract that does not contradict itself, over fields that are no features."""
    names = draw(st.lists(FIELD_NAMES, min_size=2, max_size=5, unique=True))
    low, high = sorted((draw(SHORT), draw(SHORT)))
    texts = tuple(draw(st.lists(TEXT, min_size=1, max_size=4, unique=True)))
    share = draw(st.floats(0, 1))
    first, second, *rest = (f"field {name}" for name in names)
    fields = [
        ContractField(first, "numeric", at_least=low, at_most=high, missing_ratio=share, tolerance=share),
        ContractField(second, allowed=texts, on_violation=OnViolation.DEFAULT, default=texts[0]),
        *(ContractField(name, fresh_within=draw(DURATION), on_violation=OnViolation.NULL) for name in rest),
    ]
    quoted = first.replace('"', '""')
    conditions = (RowCondition(names[0], f'"{quoted}" > 5', share, draw(REACTION)),)
    return Contract(tuple(fields), conditions, draw(st.none() | st.integers(0, 9)), version=draw(TEXT))


@st.composite
def models(draw: st.DrawFn) -> core.Model:
    task = draw(st.sampled_from(core.Task))
    outcomes = draw(OUTCOMES)
    cohorts = draw(COHORTS)
    named = {*(cohort.by for cohort in cohorts), "a", "b", "carrier", "x y"}  # conditions read no hidden value
    found = core.Model(
        name=draw(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,9}\Z")),
        task=task,
        endpoint=draw(TEXT),
        owner=draw(st.none() | st.builds(core.Owner, WORD, TEXT)),
        business_metric=draw(
            st.none() | st.builds(core.BusinessMetric, WORD, WORD, st.sampled_from(["higher", "lower", "none"]))
        ),
        positive=draw(TEXT),
        success=draw(success(task)),
        cost_unit=draw(WORD),
        features=tuple(replace(f, policy="keep") if f.name in named else f for f in draw(FEATURES)),
        cohorts=cohorts,
        drift_limits=draw(LIMITS),
        reference=draw(st.sampled_from(["", "7d", "last week", "2013-01-01..2013-02-01"])),
        timezone=draw(st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York"])),
        outcomes=judged(outcomes) if task is core.Task.GENERATION else outcomes,
        outcome_horizon=draw(DURATION),
        outcome_if_silent=draw(st.none() | st.builds(core.Silence, NUMBER, DURATION)),
        rates=draw(st.builds(core.Rates, RATE, RATE, RATE, RATE)),
        schedule=draw(st.none() | st.builds(core.Schedule, DURATION, DURATION)),
        retention=draw(st.builds(core.Retention, st.none() | DURATION, st.none() | st.integers(1, 10**18))),
        trained_until=draw(st.none() | st.integers(-(10**15), 10**16)),
        keep=draw(st.floats(0, 1)),
        keep_where=draw(st.just("") | CONDITION),
        free_text=draw(POLICY),
        contract=draw(st.none() | contracts()),
        sources=_pairs(draw(st.dictionaries(WORD, WORD, max_size=2))),
    )
    return replace(found, expectations=draw(expectations(found)))


NOTES = st.dictionaries(
    st.sampled_from(["task", "keep", "features", "owner.team", "rates.per_month_usd", "cohorts[0]", "zzz", "name"])
    | TEXT,
    st.text(max_size=20),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(models(), NOTES)
def test_what_is_written_reads_back(model: core.Model, notes: dict[str, str]) -> None:
    text = to_yaml(model, notes)
    assert load_text(text, model.name) == model
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{model.name}.yaml")
        path.write_text(text, encoding="utf-8")
        assert load_model(path) == model


@given(models())
def test_other_readers_of_yaml_find_the_same_names(model: core.Model) -> None:
    read = yaml.safe_load(to_yaml(model, {}))
    assert list(read.get("features", {})) == [feature.name for feature in model.features]
    assert read["name"] == model.name


def test_a_declaration_to_edit() -> None:
    model = core.Model(
        "flights",
        core.Task.REGRESSION,
        owner=core.Owner("ops"),
        success=core.Success(tolerance=15.0),
        features=(core.Feature("dep_delay", "numeric", source="faa"), core.Feature("NO", "categorical", 0.2, "hash")),
        cohorts=(core.Cohort("carrier", by="carrier"), core.Cohort("late", where="dep_delay > 60")),
        outcomes=(core.OutcomeKind("arrived"), core.OutcomeKind("landed", final=False)),
        outcome_horizon=2 * DAY,
        sources=(("faa", "airports"),),
    )
    notes = {
        "features.NO.kind": "guessed: 2 values\nin 900 rows",
        "success.tolerance": "guessed",
        "rates.per_month_usd": "what does it cost to run?",
        "timezone": "the default",
        "key": "guessed: flight_id",
    }
    assert to_yaml(model, notes, "schema.json") == (
        """\
# yaml-language-server: $schema=schema.json
# key: guessed: flight_id
name: flights
task: regression
owner: {team: ops}
success:
  tolerance: 15.0  # guessed
features:
  dep_delay: {kind: numeric, source: faa}
  "NO":
    kind: categorical  # guessed: 2 values in 900 rows
    importance: 0.2
    policy: hash
sources: {faa: airports}
cohorts:
  - carrier
  - {name: late, where: "dep_delay > 60"}
timezone: UTC  # the default
outcomes:
  arrived: {final: true}
  landed: {final: false}
outcome_horizon: 2d
rates:
  per_month_usd: null  # what does it cost to run?
"""
    )


def test_spellings_are_exact() -> None:
    assert [duration_spelling(n) for n in (1, 60 * MICROS, 36 * 3600 * MICROS)] == ["0.000001s", "1m", "36h"]
    assert [size_spelling(n) for n in (1000, 1024, 1025, 5 * 10**12)] == ["1KB", "1KiB", "1025B", "5TB"]
