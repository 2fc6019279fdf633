"""Drift on any two tables, without a store: fit on a reference, check a window, or feed day after day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from setpoint.answers.answer import Answer
from setpoint.answers.drift import Judged, drifted
from setpoint.core.clock import moment
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.core.window import Window
from setpoint.inputs.columns import ColumnValues, columns_of, is_new, is_varying, so_of, together
from setpoint.inputs.detection import LENGTHS, Day, Detector
from setpoint.inputs.drift import APPEARED, STARTED_TO_VARY, VANISHED
from setpoint.inputs.gross import DayByHour, by_hour, judge, learn
from setpoint.inputs.profiles import profiles
from setpoint.project.tables import Columns, TableRows, check_inputs, chosen, table, types_changed
from setpoint.store.ages import AGE
from setpoint.store.evidence import LABELS, bucket_seconds
from setpoint.store.files import Source
from setpoint.store.measures import Definition
from setpoint.store.texts import sources_of


class DriftDetector:
    """Knows how a reference table looks day by day, and says whether later days have drifted from it.

    An alarm is a change that rows and the usual difference between days make by chance on at most 1 % of days, all
    features together. Two weeks of reference say how days differ, four weeks how weekdays do; of fewer days only the
    rows are known, and margins stand in. A gross change is told within the last day, by its hours, so that the day may
    be fed as often as one likes while it lasts; that needs a week of reference.

    Example:
        >>> import duckdb
        >>> days = "SELECT to_timestamp(i * 60) AS ts, i * 7919 % 1000 + {} AS x FROM range({}) t(i)"
        >>> usual = duckdb.sql(days.format(0, 28 * 1440))
        >>> later = duckdb.sql(days.format("(i >= 1440)::INT * 100", 2 * 1440))
        >>> detector = DriftDetector(usual, time="ts")
        >>> detector.check(later).verdict.value
        'warning'

    Source: `setpoint.inputs.detection`, `setpoint.inputs.gross`.
    """

    def __init__(self, reference: Source, *, time: str, tz: str = "UTC", inputs: Columns = None) -> None:
        """Learn what is usual.

        Args:
            reference: The rows, as `setpoint.read` takes them; two to eight weeks of them are best.
            time: The column that says when each row was.
            tz: The zone whose days count, and of times that carry none.
            inputs: The columns to watch; all others by default.

        Raises:
            ColumnError: A named column is not there.
            EmptyFile: The table has no rows.
            UsageError: No row has a time, the column has numbers that are none, or `inputs` is a text.
        """
        self._time = time
        self._model = Model("", timezone=tz)
        self._inputs = chosen(inputs)
        with table(reference, self._inputs, self._model, time=time) as rows:
            check_inputs(self._inputs, rows)
            self._known, self._definition, self._said = rows.known, rows.definition, rows.said
            read, span = self._days(rows), rows.span
        if span is None:
            msg = f"no row of the reference has a time in {time!r}"
            raise UsageError(msg, hint="name the column that says when each row was: time='ts'")
        self._span = span
        self._midnights = list(read.days)
        self._values = together(list(read.values.values()))
        self._detector = Detector(list(read.days.values()))
        self._usual = learn(read.hours)
        self._fed: dict[int, Day] = {}

    def check(self, window: Source) -> Answer:
        """Return whether the last day of a table has drifted, alone or with those before it.

        Args:
            window: Rows after the reference, with the same columns.

        Raises:
            EmptyFile: The table has no rows.
        """
        read = self._read(window)
        return self._answer(read, read.days)

    def feed(self, rows: Source) -> Answer:
        """Add the rows of further days to those that were fed before, and say whether the last one has drifted.

        A day that comes once more takes the place of what was known of it.
        """
        read = self._read(rows)
        self._fed = dict(sorted((self._fed | read.days).items())[-LENGTHS[-1] :])
        return self._answer(read, self._fed)

    def _read(self, rows: Source) -> _Read:
        with table(rows, self._inputs, self._model, time=self._time, known=self._known) as found:
            kinds = self._known.kinds
            notes = types_changed(kinds, found)
            notes |= {name: "is a new column" for name in found.inputs if name not in kinds}
            found.inputs = {name: column for name, column in found.inputs.items() if name not in notes}
            notes |= {name: VANISHED for name in kinds if name not in found.inputs and name not in notes}
            found.definition = Definition(self._definition.features)
            return replace(self._days(found), notes=notes, said=found.said)

    def _days(self, rows: TableRows) -> _Read:
        zone = self._model.timezone
        days: dict[int, Day] = {}
        values: dict[int, Mapping[str, ColumnValues]] = {}
        for midnight, state in rows.profile_by_day(None):
            found = profiles(state, self._definition)
            inputs = {name: profile for name, profile in found.items() if name not in LABELS}
            days[midnight] = Day(inputs, moment(midnight, zone).weekday())
            values[midnight] = columns_of(state)
        hours = by_hour(rows.profile(None, bucket_seconds=bucket_seconds(zone)), self._definition, zone)
        return _Read(days, hours, values, rows.span)

    def _unusual(self, last: Mapping[str, ColumnValues]) -> dict[str, str]:
        """Return the features that had no value in the reference, or but one, and on the last day have another."""
        measured = sources_of(self._definition)  # of texts: in a language that no other has is no constant
        said = {APPEARED: is_new, STARTED_TO_VARY: is_varying}
        return {
            name: note
            for note, is_so in said.items()
            for name in sorted(so_of(self._values, last, is_so))
            if name in self._definition.features and name not in measured
        }

    def _unjudged(self, notes: Mapping[str, str]) -> list[str]:
        """Return the features that the detector knows too little of."""
        source = sources_of(self._definition)
        known = {*self._detector.names, *LABELS}
        return [
            n for n in self._definition.features if n not in known and source.get(n, n.removesuffix(AGE)) not in notes
        ]

    def _answer(self, read: _Read, days: Mapping[int, Day]) -> Answer:
        notes = {**read.notes, **self._unusual(read.values.get(max(days, default=0), {}))}
        drifts = self._detector.judge(list(days.values())) if days else []
        gross = judge(self._usual, read.hours[-1]) if read.hours else []
        last = list(days.values())[-1].profiles.values() if days else ()
        return drifted(
            Judged(
                [one for one in drifts if one.feature not in notes],
                [one for one in gross if one.feature not in notes],
                notes,
                self._unjudged(notes),
                (self._span, self._midnights),
                (read.span, list(days)),
                max((profile.effective_rows for profile in last), default=0.0),
                self._model.timezone,
                (*(f"the reference: {one}" for one in self._said), *read.said),
            )
        )


@dataclass(frozen=True)
class _Read:
    """What was read of a table.

    Attributes:
        days: By midnight.
        hours: By day.
        values: What the values of each feature are like, by midnight.
        span: From the first to just after the last row; None without any time.
        notes: What is special about its columns.
        said: What is odd about them and the rows, in words.
    """

    days: dict[int, Day]
    hours: list[DayByHour]
    values: Mapping[int, Mapping[str, ColumnValues]]
    span: Window | None
    notes: Mapping[str, str] = field(default_factory=dict[str, str])
    said: tuple[str, ...] = ()
