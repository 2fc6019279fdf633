"""What production has and an evaluation set has never seen: by cohort and by input, with its traffic and its money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from setpoint.core.clock import DAY
from setpoint.core.events import TIMESTAMP
from setpoint.core.expression import parse
from setpoint.core.window import Window
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import effective_size, wilson
from setpoint.store.defining import is_number_type
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import examples
from setpoint.store.measures import NO_VALUE

FEWEST_SET_ROWS = 10
"""With fewer rows the set says nothing about a value."""
THIN = 0.01
"""Share of traffic or of money from which a value that the set lacks is worth a warning."""
DEFAULT_LENGTH = 30 * DAY
_VALUES = 200
_TABLE = "temp.evaluated_traffic"


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that production has and the set has not, or hardly.

    Attributes:
        kind: `cohort` for a declared one, `value` of an input, or `range` of numbers.
        name: Such as `carrier=VX`, or `distance above 2,586`.
        set_rows: Rows of the set with it.
        rows: Predictions with it, before weighting.
        traffic: Share of the traffic, 0 to 1, with its interval.
        value_share: Share of `value_usd`, 0 to 1; None when production has no values.
    """

    kind: Literal["cohort", "value", "range"]
    name: str
    set_rows: int
    rows: int
    traffic: Estimate
    value_share: float | None

    @property
    def is_thin(self) -> bool:
        """Whether it is worth a warning."""
        return max(self.traffic.value or 0.0, self.value_share or 0.0) >= THIN


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of production a set covers.

    Attributes:
        gaps: Most money first, then most traffic.
        window: Predictions of this time.
        predictions: How many they are, before weighting.
        compared: Cohorts and inputs that were compared.
        left_out: Cohorts and inputs that the set's file lacks, or that have too many values.
        shares: Share of the traffic of each value of a declared cohort, 0 to 1, such as that of `carrier=VX`.
        has_values: Whether production knows what its predictions are worth.
        unknown: Why nothing can be said; empty otherwise.
    """

    gaps: tuple[Gap, ...] = ()
    window: Window | None = None
    predictions: int = 0
    compared: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict[str, float])
    has_values: bool = False
    unknown: str = ""


def coverage(production: RowEvidence, evaluated: RowEvidence, window: Window | None = None) -> Coverage:
    """Return what production has and a set has fewer than `FEWEST_SET_ROWS` rows of.

    Args:
        production: The model's rows, whatever version answered.
        evaluated: The set, under the same declaration.
        window: Predictions of this window; None for the 30 days up to the last one.
    """
    span = production.span
    if window is None:
        if span is None:
            return Coverage(unknown="production has no prediction yet")
        window = Window(span.end - DEFAULT_LENGTH, span.end)
    if not production.has_rows_of(window):
        return Coverage(window=window, unknown="the rows of this window were let go: ask about a later one")
    named = _named(production, evaluated)
    numbers = _numbers(production, evaluated)
    lacking = [c.name for c in production.model.cohorts if c.name not in named]
    lacking += [name for name in production.inputs if name not in evaluated.inputs]
    try:
        _load(production, window, [*named.values(), *numbers.values()])
        total, size, value = cast(
            "tuple[float, float, float | None]",
            rows(production.connection, f"SELECT {_SUMS} FROM {_TABLE}")[0][1:],
        )
        count = cast("int", rows(production.connection, f"SELECT count(*) FROM {_TABLE}")[0][0])
        if not count:
            return Coverage(window=window, unknown="production has no prediction in this window")
        whole = _Whole(total, size, value)
        gaps: list[Gap] = []
        shares: dict[str, float] = {}
        for n, name in enumerate(named):
            found = _values(production, evaluated, name, n, whole)
            if found is None:
                lacking.append(name)
            else:
                gaps += [gap for gap in found if gap.set_rows < FEWEST_SET_ROWS]
                shares |= {gap.name: gap.traffic.value or 0.0 for gap in found if gap.kind == "cohort"}
        for n, name in enumerate(numbers, start=len(named)):
            gaps += _ranges(production, evaluated, name, n, whole)
    finally:
        rows(production.connection, f"DROP TABLE IF EXISTS {_TABLE}")
    gaps.sort(key=lambda one: (-(one.value_share or 0.0), -(one.traffic.value or 0.0), one.name))
    compared = tuple(name for name in dict.fromkeys([*named, *numbers]) if name not in lacking)
    left_out = tuple(dict.fromkeys(lacking))
    return Coverage(tuple(gaps), window, count, compared, left_out, shares, whole.value is not None)


_SUMS = "count(*), sum(weight), sum(weight * weight), sum(weight * value_usd)"


@dataclass(frozen=True, slots=True)
class _Whole:
    """All traffic: sum of weights, of their squares, and of the value."""

    weight: float
    squares: float
    value: float | None

    def gap(self, kind: Literal["cohort", "value", "range"], name: str, set_rows: int, part: tuple[object, ...]) -> Gap:
        """Return a part of it, from its count and sums."""
        count, weight, _, value = cast("tuple[int, float | None, float | None, float | None]", part)
        share = wilson(min(weight or 0.0, self.weight), self.weight, effective_size(self.weight, self.squares))
        money = (value or 0.0) / self.value if self.value else None
        return Gap(kind, name, set_rows, count, share, money)


def _named(production: RowEvidence, evaluated: RowEvidence) -> Mapping[str, str]:
    """Return SQL of the declared cohorts, and of inputs that are texts or flags, that the set's file can tell."""
    found: dict[str, str] = {}
    for cohort in production.model.cohorts:
        needed = {cohort.by} if cohort.by else parse(cohort.where).columns()
        if {name.removeprefix("inputs.") for name in needed} <= evaluated.inputs.keys():
            found[cohort.name] = production.cohorts[cohort.name]
    taken = {cohort.by.removeprefix("inputs.") for cohort in production.model.cohorts}
    for name, column in production.inputs.items():
        if name in evaluated.inputs and name not in {*taken, *found} and column.kind in {"VARCHAR", "BOOLEAN"}:
            found[name] = f"CAST({production.column(name)} AS VARCHAR)"
    return found


def _numbers(production: RowEvidence, evaluated: RowEvidence) -> Mapping[str, str]:
    found = {
        name: f"CAST({production.column(name)} AS DOUBLE)"
        for name, column in production.inputs.items()
        if name in evaluated.inputs
        and is_number_type(column.kind)
        and is_number_type(evaluated.inputs[name].kind)
        and column.kind != TIMESTAMP
    }
    return {name: f"CASE WHEN isfinite({sql}) THEN {sql} END" for name, sql in found.items()}


def _load(production: RowEvidence, window: Window, sources: list[str]) -> None:
    """Make the table of production's predictions once."""
    matching = replace(production.matching(window), cohorts=tuple((f"d{n}", sql) for n, sql in enumerate(sources)))
    values = "".join(f", cohort_{n}" for n in range(len(sources)))
    rows(
        production.connection,
        f"CREATE OR REPLACE TEMP TABLE evaluated_traffic AS SELECT weight, value_usd{values}"
        f" FROM ({examples(matching)}) WHERE is_root",
    )


def _values(production: RowEvidence, evaluated: RowEvidence, name: str, n: int, whole: _Whole) -> list[Gap] | None:
    """Return the values of a dimension, those too that the set has; None when there are too many to be told apart."""
    found = rows(
        production.connection,
        f"SELECT coalesce(cohort_{n}, '{NO_VALUE}') AS v, {_SUMS} FROM {_TABLE}"
        f" GROUP BY v ORDER BY v LIMIT {_VALUES + 1}",
    )
    if len(found) > _VALUES:
        return None
    is_cohort = name in {cohort.name for cohort in production.model.cohorts}
    sql = evaluated.cohorts[name] if is_cohort else f"CAST({evaluated.column(name)} AS VARCHAR)"
    seen = rows(
        evaluated.connection, f"SELECT coalesce({sql}, '{NO_VALUE}') AS v, count(*) FROM predictions AS p GROUP BY v"
    )
    counts = dict(cast("list[tuple[str, int]]", seen))
    return [
        whole.gap("cohort" if is_cohort else "value", f"{name}={value}", counts.get(cast("str", value), 0), tuple(sums))
        for value, *sums in found
    ]


def _ranges(production: RowEvidence, evaluated: RowEvidence, name: str, n: int, whole: _Whole) -> list[Gap]:
    """Return the traffic below and above all numbers of the set."""
    value = f"CAST({evaluated.column(name)} AS DOUBLE)"
    low, high = cast(
        "tuple[float | None, float | None]",
        rows(evaluated.connection, f"SELECT min({value}), max({value}) FROM predictions AS p WHERE isfinite({value})")[
            0
        ],
    )
    if low is None or high is None:
        found = rows(production.connection, f"SELECT {_SUMS} FROM {_TABLE} WHERE cohort_{n} IS NOT NULL")[0]
        return [whole.gap("range", f"{name}, any number", 0, found)] if found[0] else []
    gaps: list[Gap] = []
    for words, beyond in ((f"below {low:g}", f"< {low!r}"), (f"above {high:g}", f"> {high!r}")):
        found = rows(production.connection, f"SELECT {_SUMS} FROM {_TABLE} WHERE cohort_{n} {beyond}")[0]
        gaps += [whole.gap("range", f"{name} {words}", 0, found)] if found[0] else []
    return gaps
