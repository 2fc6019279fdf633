"""Drift on any two tables, without a store: fit on a reference, check a window, or feed day after day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from setpoint.answers.answer import Answer
from setpoint.answers.drift import Judged, drifted
from setpoint.core.clock import moment
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.inputs.detection import LENGTHS, Day, Detector
from setpoint.inputs.drift import TYPE_CHANGED
from setpoint.inputs.gross import DayByHour, by_hour, judge, learn
from setpoint.inputs.profiles import profiles
from setpoint.project.tables import Columns, table
from setpoint.store.ages import AGE, is_time_type
from setpoint.store.defining import is_number_type
from setpoint.store.evidence import PREDICTION, SCORE, RowEvidence, bucket_seconds
from setpoint.store.files import Source
from setpoint.store.measures import Definition, Scale
from setpoint.store.texts import sources_of, texts_of


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
            UsageError: No row has a time.
        """
        self._time = time
        self._model = Model("", timezone=tz)
        self._inputs = None if inputs is None else tuple(inputs)
        with table(reference, self._inputs, self._model, time=time) as rows:
            self._definition = rows.definition
            self._kinds = {name: column.kind for name, column in rows.inputs.items()}
            days, hours = self._days(rows)
        if not days:
            msg = f"no row of the reference has a time in {time!r}"
            raise UsageError(msg, hint="name the column that says when each row was: time='ts'")
        self._count = len(days)
        self._detector = Detector([day for _, day in days.items()])
        self._usual = learn(hours)
        self._fed: dict[int, Day] = {}

    def check(self, window: Source) -> Answer:
        """Return whether the last day of a table has drifted, alone or with those before it.

        Args:
            window: Rows after the reference, with the same columns.

        Raises:
            EmptyFile: The table has no rows.
        """
        days, hours, notes = self._read(window)
        return self._answer(days, hours, notes)

    def feed(self, rows: Source) -> Answer:
        """Add the rows of further days to those that were fed before, and say whether the last one has drifted.

        A day that comes once more takes the place of what was known of it.
        """
        days, hours, notes = self._read(rows)
        self._fed = dict(sorted((self._fed | days).items())[-LENGTHS[-1] :])
        return self._answer(self._fed, hours, notes)

    def _read(self, rows: Source) -> tuple[dict[int, Day], list[DayByHour], dict[str, str]]:
        """Return the days of a table, whole and by hour, and what is special about its columns."""
        with table(rows, self._inputs, self._model, time=self._time) as found:
            notes: dict[str, str] = {}
            texts = texts_of(self._definition)
            for name, column in list(found.inputs.items()):
                is_number = isinstance(self._definition.features.get(name), Scale)
                is_other = column.kind == "VARCHAR" if is_number else name in texts and is_number_type(column.kind)
                if name not in self._kinds:
                    notes[name] = "is a new column"
                elif is_other or is_time_type(self._kinds[name]) != is_time_type(column.kind):
                    notes[name] = f"{TYPE_CHANGED} from {self._kinds[name]} to {column.kind}"
                else:
                    continue
                del found.inputs[name]
            notes |= {name: "vanished" for name in self._kinds if name not in found.inputs and name not in notes}
            found.definition = Definition(self._definition.features)
            return *self._days(found), notes

    def _days(self, rows: RowEvidence) -> tuple[dict[int, Day], list[DayByHour]]:
        zone = self._model.timezone
        days: dict[int, Day] = {}
        for midnight, state in rows.profile_by_day(None):
            found = profiles(state, self._definition)
            inputs = {name: profile for name, profile in found.items() if name not in {SCORE, PREDICTION}}
            days[midnight] = Day(inputs, moment(midnight, zone).weekday())
        hours = by_hour(rows.profile(None, bucket_seconds=bucket_seconds(zone)), self._definition, zone)
        return days, hours

    def _unjudged(self, notes: Mapping[str, str]) -> list[str]:
        """Return the features that the detector knows too little of."""
        source = sources_of(self._definition)
        known = {*self._detector.names, SCORE, PREDICTION}
        return [
            n for n in self._definition.features if n not in known and source.get(n, n.removesuffix(AGE)) not in notes
        ]

    def _answer(self, days: Mapping[int, Day], hours: Sequence[DayByHour], notes: Mapping[str, str]) -> Answer:
        drifts = self._detector.judge(list(days.values())) if days else []
        gross = judge(self._usual, hours[-1]) if hours else []
        zone = self._model.timezone
        last = list(days.values())[-1].profiles.values() if days else ()
        rows = max((profile.effective_rows for profile in last), default=0.0)
        return drifted(Judged(drifts, gross, notes, self._unjudged(notes), self._count, list(days), rows, zone))
