"""The states of any window of a model, from rows: what every answer is computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import duckdb
import numpy as np

from setpoint.core.clock import DAY, QUARTER_HOUR, moment
from setpoint.core.events import TIMESTAMP
from setpoint.core.finding import Finding
from setpoint.core.model import Cohort, Model, Task
from setpoint.core.route_plan import RoutePlan
from setpoint.core.window import Window, local_midnight, shift_days
from setpoint.store import measures
from setpoint.store.ages import aged
from setpoint.store.answers_by_bin import Sums, query_answers_by_bin
from setpoint.store.arrivals import query_arrivals
from setpoint.store.cohort_sql import cohort_sql
from setpoint.store.defining import SAMPLE_ROWS, define
from setpoint.store.engines.duck import at, quoted, rows
from setpoint.store.exposure import query_exposure
from setpoint.store.first_sight import find_first_sights, tells_new
from setpoint.store.matching import Matching
from setpoint.store.measures import COHORT_VALUES, Column, Definition
from setpoint.store.money import MONEY, query_money
from setpoint.store.primitives import finite, local_day, printed
from setpoint.store.profiling import query_cohort_profiles, query_profile
from setpoint.store.states import StateTable, merge
from setpoint.store.times import is_time_type
from setpoint.store.version_cohorts import VERSION_COHORTS, find_version_starts, version_cohort_sql

COUNT_ASIDE = "SELECT count(*) FROM quarantine"
CHANGES = "(SELECT * FROM changes QUALIFY row_number() OVER (PARTITION BY change_id ORDER BY recorded_at) = 1)"
"""Each change once: what services tell, each of them does, and again."""
SCORE, PREDICTION = "$score", "$prediction"
LABELS = {SCORE: "score", PREDICTION: "prediction"}
"""What people call the features that are no input."""


@dataclass(frozen=True, slots=True)
class Change:
    """A declared or noticed change."""

    kind: str
    subject: str
    started_at: int
    ended_at: int | None
    expected: str
    note: str


class RowEvidence:
    """States of windows computed from the views of a connection.

    Attributes:
        connection: Where `predictions`, `outcomes`, `calls`, `tallies` and `changes` are views.
        model: The declaration, or the guess that stands in for it.
        inputs: How each feature is read.
        as_of: Nothing recorded later counts.
        is_recorded: Whether these are the events of a living model rather than the rows of a file.
        is_joined: Whether each row of the predictions view already has its outcome and cost.
        notes: What checks found once and need not find again, by name; `tick` keeps them.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        model: Model,
        inputs: Mapping[str, Column],
        as_of: int,
        *,
        is_joined: bool = False,
        is_recorded: bool = True,
    ) -> None:
        self.connection = connection
        self.model = model
        self.inputs = dict(inputs)
        self.as_of = as_of
        self.is_joined = is_joined
        self.is_recorded = is_recorded
        self.notes: dict[str, bytes] = {}

    @cached_property
    def span(self) -> Window | None:
        """From the first to just after the last prediction; None without any, or without times."""
        first, last = rows(
            self.connection,
            "SELECT min(epoch_us(predicted_at)), max(epoch_us(predicted_at)) FROM predictions",
        )[0]
        return None if first is None else Window(cast("int", first), cast("int", last) + 1)

    @property
    def is_timed(self) -> bool:
        """Whether predictions have a time."""
        return self.span is not None

    @property
    def plans(self) -> list[RoutePlan]:
        """Every route plan that was in force, oldest first; a file's rows have none."""
        return []

    def quality(self, window: Window | None, *, cohort: str = "", bucket_seconds: int = 0) -> StateTable:
        """Return the quality state of a window; None is all rows.

        Args:
            window: Predictions of this window.
            cohort: Split by the value of this cohort; not split when empty.
            bucket_seconds: Split by time buckets of this length; 0 for none.
        """
        return self.qualities(window, (cohort,), time=_bucketed(bucket_seconds))[cohort]

    def early_quality(self, window: Window | None, within: int, *, cohort: str = "") -> StateTable:
        """Return the quality state of a window, by what was known of each prediction `within` microseconds after it.

        From rows: states know only what is known now.
        """
        matching = replace(self.matching(window, cohort), within=within)
        return measures.query_quality(self.connection, matching, self.definition, cohorts=(cohort,))[cohort]

    def arrivals(self, window: Window | None, *, cohort: str = "", bucket_seconds: int = 0) -> StateTable:
        """Return when the outcomes of a window arrived; see `quality`."""
        return self.arrivals_by_cohort(window, (cohort,), time=_bucketed(bucket_seconds))[cohort]

    def arrivals_by_cohort(
        self, window: Window | None, cohorts: Sequence[str], *, time: str = ""
    ) -> dict[str, StateTable]:
        """Return the arrivals states of several cohorts in one query."""
        return query_arrivals(self.connection, self.matching(window, *cohorts), cohorts=cohorts, time=time)

    def qualities(self, window: Window | None, cohorts: Sequence[str], *, time: str = "") -> dict[str, StateTable]:
        """Return the quality states of several cohorts in one query; see `profiles_by_cohort`."""
        return measures.query_quality(
            self.connection, self.matching(window, *cohorts), self.definition, cohorts=cohorts, time=time
        )

    def money(self, window: Window | None, *, cohort: str = "", bucket_seconds: int = 0) -> StateTable:
        """Return what the outcomes of a window were worth; see `quality`. Empty when no outcome ever says."""
        return self.money_by_cohort(window, (cohort,), time=_bucketed(bucket_seconds))[cohort]

    def money_by_cohort(
        self, window: Window | None, cohorts: Sequence[str], *, time: str = ""
    ) -> dict[str, StateTable]:
        """Return the money states of several cohorts in one query."""
        if not self._has_values:
            return {name: StateTable.of(MONEY, []) for name in cohorts}
        return query_money(self.connection, self.matching(window, *cohorts), cohorts=cohorts, time=time)

    def exposure(self, window: Window | None, *, bucket_seconds: int = 0) -> StateTable:
        """Return how often each item of a ranking was shown in a window; see `quality`."""
        return query_exposure(self.connection, self.matching(window), time=_bucketed(bucket_seconds))

    @cached_property
    def _has_values(self) -> bool:
        table = "predictions" if self.is_joined else "outcomes"
        return _any(self.connection, f"{table} WHERE value_usd IS NOT NULL")

    def quality_by_day(self, window: Window | None, *, cohort: str = "") -> list[tuple[int, StateTable]]:
        """Return the quality state of each local day of a window by its midnight, oldest first."""
        return self._days(self.quality(window, cohort=cohort, bucket_seconds=bucket_seconds(self.model.timezone)))

    def arrivals_by_day(self, window: Window | None, *, cohort: str = "") -> list[tuple[int, StateTable]]:
        """Return the arrivals state of each local day of a window by its midnight, oldest first."""
        return self._days(self.arrivals(window, cohort=cohort, bucket_seconds=bucket_seconds(self.model.timezone)))

    def profile_by_day(
        self, window: Window | None, *, cohort: str = "", definition: Definition | None = None
    ) -> list[tuple[int, StateTable]]:
        """Return the profile state of each local day of a window by its midnight, oldest first; see `profile`.

        With a definition features are binned as it says, not as this model's are.
        """
        span = window or self.span
        if span is None or not span.length:
            return []
        midnights = [local_midnight(span.start, self.model.timezone)]
        while midnights[-1] < span.end:
            midnights.append(shift_days(midnights[-1], 1, self.model.timezone))
        time = local_day("predicted_at", midnights)
        if cohort:
            return self._days(self.profiles_by_cohort(window, (cohort,), time=time)[cohort])
        return self._days(
            query_profile(
                self.connection, definition or self.definition, self.profiled, where=_roots(window), time=time
            )
        )

    def money_by_day(self, window: Window | None) -> list[tuple[int, StateTable]]:
        """Return the money state of each local day of a window by its midnight, oldest first."""
        return self._days(self.money(window, bucket_seconds=bucket_seconds(self.model.timezone)))

    def exposure_by_day(self, window: Window | None) -> list[tuple[int, StateTable]]:
        """Return the exposure state of each local day of a window by its midnight, oldest first."""
        return self._days(self.exposure(window, bucket_seconds=bucket_seconds(self.model.timezone)))

    def _days(self, bucketed: StateTable) -> list[tuple[int, StateTable]]:
        starts = np.array([-1 if start is None else start for start in bucketed.key("bucket")], dtype=np.int64)
        known, place = np.unique(starts, return_inverse=True)
        midnight_of = np.array([local_midnight(int(start), self.model.timezone) for start in known], dtype=np.int64)
        days = midnight_of[place]
        flat = bucketed.at("bucket", 0)
        return [
            (int(day), merge(bucketed.kind, [flat.take(days == day)]))
            for day in np.unique(midnight_of[known >= 0]).tolist()
        ]

    def traffic(self, window: Window | None, *, bucket_seconds: int = 0) -> StateTable:
        """Return the traffic state of a window, widened to the quarters of an hour that tallies count.

        A file has no tallies: its rows are counted, to the microsecond.
        """
        wide = _EVER if window is None else window.widened(QUARTER_HOUR)
        if not self.is_recorded:
            tallies = f"({measures.tallies_of_rows(window)})"
            return measures.query_traffic(self.connection, None, tallies=tallies, bucket_seconds=bucket_seconds)
        counted = measures.query_traffic(self.connection, wide, bucket_seconds=bucket_seconds)
        if not self._shortcuts["has_calls"]:
            return counted
        tokens = measures.query_tokens(self.connection, wide, bucket_seconds=bucket_seconds)
        return merge(counted.kind, [counted, tokens])

    def spending(self, window: Window | None, *, bucket_seconds: int = 0) -> StateTable:
        """Return the spending state of a window."""
        if self.is_joined:
            return measures.query_joined_spending(self.connection, window, bucket_seconds)
        if not self._shortcuts["has_calls"]:
            return StateTable.of(measures.SPENDING, [])
        has_unkept = self._shortcuts["has_unkept"]
        return measures.query_spending(self.connection, window, has_unkept=has_unkept, bucket_seconds=bucket_seconds)

    def profile(self, window: Window | None, *, cohort: str = "", bucket_seconds: int = 0) -> StateTable:
        """Return the profile state of a window's root rows; see `quality`. A cohort may be `version` or `endpoint`."""
        if cohort:
            return self.profiles_by_cohort(window, (cohort,), time=_bucketed(bucket_seconds))[cohort]
        return query_profile(
            self.connection,
            self.definition,
            self.profiled,
            where=_roots(window),
            time=_bucketed(bucket_seconds),
        )

    def profiles_by_cohort(
        self,
        window: Window | None,
        cohorts: Sequence[str],
        *,
        time: str = "",
        told_apart: Mapping[str, tuple[str, ...]] | None = None,
    ) -> dict[str, StateTable]:
        """Return the profile states of several cohorts.

        Args:
            window: Predictions of this window.
            cohorts: Their names.
            time: SQL of the bucket that a row belongs to.
            told_apart: Values of each cohort that are not merged into others; `self.told_apart` by default.
        """
        told = told_apart or {name: self.told_apart(name) for name in cohorts}
        return query_cohort_profiles(
            self.connection,
            self.definition,
            self.profiled,
            {name: (self._value_of(name), told[name]) for name in cohorts},
            where=_roots(window),
            time=time,
        )

    def answers_by_bin(self, feature: str, window: Window | None) -> dict[str, dict[str | None, Sums]]:
        """Return sums of what root rows were answered, by a feature's bin; see `query_answers_by_bin`."""
        matching = self.matching(window)
        return query_answers_by_bin(self.connection, matching, self.definition, self.profiled, feature)

    @cached_property
    def cohorts(self) -> dict[str, str]:
        """What profiles are split by, with the SQL of its value: version, endpoint, and the declared cohorts."""
        return {"version": "p.version", "endpoint": "p.endpoint", **dict(self._cohorts)}

    @cached_property
    def quarantined(self) -> int:
        """How many rows were put aside, in all tables; of a file none is."""
        return cast("int", rows(self.connection, COUNT_ASIDE)[0][0]) if self.is_recorded else 0

    def findings(self) -> list[Finding]:
        """Return every row of what the loops noticed, oldest first; of a file nothing was."""
        return []

    def open_findings(self) -> list[Finding]:
        """Return what the loops noticed that is still so; of a file nothing was."""
        return []

    def has_rows_of(self, window: Window | None) -> bool:
        """Return whether the rows of a window are all still there."""
        del window  # of a file they are
        return True

    def changes(self, window: Window | None) -> list[Change]:
        """Return what was changed in a window, oldest first."""
        span = window or _EVER
        found = rows(
            self.connection,
            "SELECT kind, coalesce(subject, ''), epoch_us(started_at), epoch_us(ended_at), coalesce(expected, ''),"
            f" coalesce(note, '') FROM {CHANGES} WHERE started_at < {at(span.end)}"
            f" AND coalesce(ended_at, started_at) >= {at(span.start)} ORDER BY started_at, kind, subject",
        )
        return [Change(*cast("tuple[str, str, int, int | None, str, str]", row)) for row in found]

    def last_outcome_at(self) -> int | None:
        """Return when the last outcome was learned of."""
        return cast("int | None", rows(self.connection, "SELECT max(epoch_us(recorded_at)) FROM outcomes")[0][0])

    def matching(self, window: Window | None, *others: str) -> Matching:
        """Return what examples of a window are made from: with the declared cohorts, and others that are asked for."""
        of_versions = [(name, self._value_of(name)) for name in VERSION_COHORTS if name in others]
        return Matching(
            self.model,
            self._types,
            self.as_of,
            window,
            cohorts=(*self._cohorts, *of_versions),
            **cast("Any", self._shortcuts),
        )

    @property
    def profiled(self) -> dict[str, Column]:
        """What is profiled: the features, the score and the prediction. Of a time its age."""
        return {
            **self._aged(self.inputs),
            SCORE: Column("score", self._types["score"]),
            PREDICTION: Column("prediction", self._types["prediction"]),
        }

    @cached_property
    def definition(self) -> Definition:
        """How features are binned, from the first rows and the values seen so far."""
        return replace(self.define(self.profiled), outcome_shift=self._outcome_shift())

    def define(self, columns: Mapping[str, Column]) -> Definition:
        """Return how some columns are binned, from the rows there are."""
        # The files of a lake have no order of their own: without one the bins would differ from store to store.
        order = "" if self.is_joined else "predicted_at, prediction_id"
        return define(self.connection, self.model, self._aged(columns), order=order)

    def _aged(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        declared = {feature.name for feature in self.model.features if feature.kind == "time"}
        if not any(is_time_type(column.kind) or name in declared for name, column in columns.items()):
            return dict(columns)
        return aged(columns, self.model.timezone, is_timed=self.is_timed, declared=declared)

    def told_apart(self, cohort: str, window: Window | None = None) -> tuple[str, ...]:
        """Return the values of a cohort that profiles tell apart: its most frequent ones, at most `COHORT_VALUES`."""
        value = f"CAST({self._value_of(cohort)} AS VARCHAR)"
        found = rows(
            self.connection,
            f"SELECT {value} AS v, count(*) AS n FROM predictions AS p WHERE {_roots(window)} AND v IS NOT NULL"
            f" GROUP BY v ORDER BY n DESC, v LIMIT {COHORT_VALUES}",
        )
        return tuple(cast("str", row[0]) for row in found)

    def _outcome_shift(self) -> float:
        if self.model.task is not Task.REGRESSION:
            return 0.0
        source = "predictions" if self.is_joined else "outcomes"
        number = printed(finite("TRY_CAST(outcome AS DOUBLE)"))
        sample = f"SELECT outcome FROM {source} WHERE outcome IS NOT NULL LIMIT {SAMPLE_ROWS}"
        return float(cast("float", rows(self.connection, f"SELECT avg({number}) FROM ({sample})")[0][0] or 0.0))

    @cached_property
    def _types(self) -> dict[str, str]:
        # A file's predictions may have the outcome themselves.
        return {**self._columns("outcomes"), **self._prediction_columns}

    @cached_property
    def _prediction_columns(self) -> dict[str, str]:
        return self._columns("predictions")

    def _columns(self, view: str) -> dict[str, str]:
        found = rows(self.connection, f"DESCRIBE {view}")
        return dict(cast("list[tuple[str, str]]", [row[:2] for row in found]))

    @cached_property
    def _shortcuts(self) -> dict[str, bool]:
        """Joins that the data does not need."""
        if self.is_joined:
            return {
                "has_calls": False,
                "has_children": False,
                "has_keys": False,
                "has_unkept": False,
                "is_joined": True,
            }
        return {
            "has_calls": _any(self.connection, "calls"),
            "has_children": _any(self.connection, "predictions WHERE parent_id IS NOT NULL"),
            "has_keys": _any(self.connection, "outcomes WHERE prediction_id IS NULL"),
            "has_unkept": _any(self.connection, "unkept"),
            "is_joined": False,
        }

    @cached_property
    def _cohorts(self) -> tuple[tuple[str, str], ...]:
        if tells_new(self.model):
            find_first_sights(self.connection)
        return tuple((cohort.name, self._cohort_sql(cohort)) for cohort in self.model.cohorts)

    def _value_of(self, cohort: str) -> str:
        """Return SQL for the value of a cohort of any kind; a declared one goes before one that a version makes."""
        return self.cohorts[cohort] if cohort in self.cohorts else self._of_versions[cohort]

    @cached_property
    def _of_versions(self) -> dict[str, str]:
        find_version_starts(self.connection)
        return {name: version_cohort_sql(name) for name in VERSION_COHORTS}

    def _cohort_sql(self, cohort: Cohort) -> str:
        return cohort_sql(cohort, self.column_and_kind, self.column(cohort.by), self.model.timezone)

    def column_and_kind(self, name: str) -> tuple[str, str]:
        """Return a feature or a fixed column as SQL over a prediction `p`, as conditions read it, and its SQL type."""
        feature = self.inputs.get(name.removeprefix("inputs."))
        kind = feature.kind if feature else self._types.get(name, "VARCHAR")
        return (f"epoch_us({self.column(name)})", "BIGINT") if kind == TIMESTAMP else (self.column(name), kind)

    def column(self, name: str) -> str:
        """Return a feature or a fixed column as SQL over a prediction `p`; null when there is none."""
        bare = name.removeprefix("inputs.")
        if bare in self.inputs:
            return f"p.{self.inputs[bare].sql}"
        return f"p.{quoted(name)}" if name in self._prediction_columns else "NULL"


def _bucketed(seconds: int) -> str:
    return measures.bucketed("predicted_at", seconds) if seconds else ""


def _roots(window: Window | None) -> str:
    limits = ["parent_id IS NULL"]
    if window is not None:
        limits += [f"predicted_at >= {at(window.start)}", f"predicted_at < {at(window.end)}"]
    return " AND ".join(limits)


_EVER = Window(-62_135_596_800_000_000, 253_402_300_799_000_000)


def _any(connection: duckdb.DuckDBPyConnection, what: str) -> bool:
    return bool(rows(connection, f"SELECT 1 FROM {what} LIMIT 1"))


def bucket_seconds(zone: str) -> int:
    """Return the length of a time bucket that local days of a zone are made of whole.

    Example:
        >>> bucket_seconds("Europe/Berlin"), bucket_seconds("Asia/Kolkata")
        (3600, 900)
    """
    year = 1_767_225_600_000_000
    offsets = [moment(year + month * 30 * DAY, zone).utcoffset() for month in range(12)]
    return 3600 if all(offset is None or offset.total_seconds() % 3600 == 0 for offset in offsets) else 900


def horizon(model: Model) -> int:
    """Return how long after a prediction its outcome may still come, at least a day."""
    return max(model.outcome_horizon, DAY)
