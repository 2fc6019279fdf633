"""Evidence from kept states where they hold, from rows where they do not; both give the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, cast

from setpoint.core.clock import MICROS, QUARTER_HOUR, text
from setpoint.core.errors import UsageError
from setpoint.core.finding import Finding
from setpoint.core.model import Model
from setpoint.core.route_plan import RoutePlan
from setpoint.core.window import Window, local_midnight, shift_days
from setpoint.store.arrivals import ARRIVALS
from setpoint.store.dirty import dirty_buckets
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import COUNT_ASIDE, Change, RowEvidence, bucket_seconds
from setpoint.store.exposure import EXPOSURE
from setpoint.store.findings import open_findings, read_findings
from setpoint.store.layout import Layout
from setpoint.store.measures import PROFILE, SPENDING, TRAFFIC, Definition
from setpoint.store.money import MONEY
from setpoint.store.news import has_news
from setpoint.store.quality_kinds import quality_kind
from setpoint.store.route_file import plans_in_force
from setpoint.store.snapshot import FEW_QUERIES, Snapshot
from setpoint.store.states import StateTable, merge
from setpoint.store.stretches import gaps_between, whole_stretches
from setpoint.store.summaries import Kept, Progress, Summaries
from setpoint.store.version_cohorts import VERSION_COHORTS

if TYPE_CHECKING:
    import duckdb

    from setpoint.store.measures import Column

SUMMARISED = ("predictions", "unkept", "outcomes", "calls", "tallies", "changes")
ASIDE = "quarantine"
_RUNS = 8


class KeptEvidence(RowEvidence):
    """The evidence of a recorded model. Opens the event log only for what the states do not hold.

    Attributes:
        held_bytes: See `Snapshot`; to be set before anything is asked.
    """

    held_bytes = FEW_QUERIES

    def __init__(self, layout: Layout, model: Model, as_of: int, now: int, summaries: Summaries | None) -> None:
        """Look at how far the states reach.

        Args:
            layout: The store.
            model: The declaration.
            as_of: The time the answer is for.
            now: The present: an answer for an earlier time comes from rows.
            summaries: The states, open for reading.
        """
        self._layout = layout
        self._is_now = as_of >= now
        self._summaries = summaries
        self.model = model
        self.as_of = as_of
        self.is_joined, self.is_recorded = False, True
        self._opened: Snapshot | None = None
        self.notes = summaries.notes() if summaries is not None else {}

    def close(self) -> None:
        """Let go of the event log."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def snapshot(self) -> Snapshot:
        """The event log, opened when first needed."""
        if self._opened is None:
            as_of = None if self._is_now else self.as_of
            self._opened = Snapshot(self._layout, self.model.name, as_of=as_of, held_bytes=self.held_bytes)
        return self._opened

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:  # pyright: ignore[reportIncompatibleVariableOverride] — opened late
        """Where the views are."""
        return self.snapshot.connection

    @property
    def inputs(self) -> dict[str, Column]:  # pyright: ignore[reportIncompatibleVariableOverride] — opened late
        """How each feature is read."""
        return self.snapshot.columns

    @property
    def plans(self) -> list[RoutePlan]:
        """Every route plan that was in force until then."""
        return [one for one in plans_in_force(self._layout, self.model.name) if one.published_at <= self.as_of]

    @cached_property
    def progress(self) -> Progress | None:
        """How far the states reach; None when they cannot serve this question."""
        found = self._summaries.progress() if self._summaries is not None else None
        usable = found is not None and found.holds_for(self.model) and self.as_of >= found.ticked_at
        return found if usable and self._is_now else None

    @cached_property
    def news(self) -> frozenset[str]:
        """Tables in which something arrived since the states were made."""
        if self.progress is None:
            return frozenset(SUMMARISED)
        return frozenset(table for table in SUMMARISED if has_news(self._layout, self.model.name, table, self.progress))

    @cached_property
    def dirty(self) -> frozenset[int]:
        """Buckets whose kept state no longer holds."""
        progress = self.progress
        if progress is None:
            return frozenset()
        found = self._silent_now(progress) | set(progress.marked)
        found |= progress.repriced(self.model.rates, self._bucket * MICROS)
        if self.news - {"changes"}:
            found |= dirty_buckets(self.connection, self.matching(None), progress.ships, self._bucket)
        return frozenset(start for start in found if start >= self._let_go_before)

    def _silent_now(self, progress: Progress) -> set[int]:
        """Return buckets in which silence has become an outcome since the states were made."""
        silence = self.model.outcome_if_silent
        if silence is None:
            return set()
        step = self._bucket * MICROS
        first = (progress.ticked_at - silence.after) // step * step
        return set(range(first, self.as_of - silence.after + 1, step))

    @cached_property
    def _bucket(self) -> int:
        return bucket_seconds(self.model.timezone)

    @cached_property
    def span(self) -> Window | None:
        """From the first to just after the last prediction; None without any."""
        progress = self.progress
        if progress is None or self.news & {"predictions"}:
            return super().span
        if progress.first_at is None or progress.last_at is None:
            return None
        # Of days whose quality an older version did not keep nothing could be told: they are not held against.
        is_lacking = quality_kind(self.model).name in progress.lacking
        first = max(progress.first_at, progress.lacking_before) if is_lacking else progress.first_at
        return Window(first, max(first, progress.last_at + 1))

    @cached_property
    def definition(self) -> Definition:
        """How features are binned: as frozen with the states."""
        progress = self.progress
        return super().definition if progress is None else progress.definition

    def changes(self, window: Window | None) -> list[Change]:
        """Return what was changed in a window, oldest first."""
        progress = self.progress
        if progress is None or "changes" in self.news:
            return super().changes(window)
        if window is None:
            return progress.changes
        return [
            change
            for change in progress.changes
            if change.started_at < window.end and (change.ended_at or change.started_at) >= window.start
        ]

    def last_outcome_at(self) -> int | None:
        """Return when the last outcome was learned of."""
        progress = self.progress
        if progress is None or "outcomes" in self.news:
            return super().last_outcome_at()
        return progress.last_outcome_at

    def quality(self, window: Window | None, *, cohort: str = "", bucket_seconds: int = 0) -> StateTable:
        """Return the quality state of a window."""
        return self._merged(
            Kept(quality_kind(self.model), cohort),
            window,
            bucket_seconds,
            lambda part, size: super(KeptEvidence, self).quality(part, cohort=cohort, bucket_seconds=size),
        )

    def traffic(self, window: Window | None, *, bucket_seconds: int = 0) -> StateTable:
        """Return the traffic state of a window, widened to the quarters of an hour that tallies count."""
        return self._merged(
            Kept(TRAFFIC),
            window and window.widened(QUARTER_HOUR),
            bucket_seconds,
            lambda part, size: super(KeptEvidence, self).traffic(part, bucket_seconds=size),
        )

    def spending(self, window: Window | None, *, bucket_seconds: int = 0) -> StateTable:
        """Return the spending state of a window."""
        return self._merged(
            Kept(SPENDING),
            window,
            bucket_seconds,
            lambda part, size: super(KeptEvidence, self).spending(part, bucket_seconds=size),
        )

    def profile(self, window: Window | None, *, cohort: str = "", bucket_seconds: int = 0) -> StateTable:
        """Return the profile state of a window."""
        return self._merged(
            Kept(PROFILE, cohort),
            window,
            bucket_seconds,
            lambda part, size: super(KeptEvidence, self).profile(part, cohort=cohort, bucket_seconds=size),
        )

    def told_apart(self, cohort: str, window: Window | None = None) -> tuple[str, ...]:
        """Return the values of a cohort that profiles tell apart: as frozen with the states, where there are any."""
        progress = self.progress
        if progress is None or cohort in VERSION_COHORTS:
            return super().told_apart(cohort, window)
        return progress.told_apart.get(cohort, ())

    def arrivals(self, window: Window | None, *, cohort: str = "", bucket_seconds: int = 0) -> StateTable:
        """Return when the outcomes of a window arrived."""
        return self._merged(
            Kept(ARRIVALS, cohort),
            window,
            bucket_seconds,
            lambda part, size: super(KeptEvidence, self).arrivals(part, cohort=cohort, bucket_seconds=size),
        )

    def money(self, window: Window | None, *, cohort: str = "", bucket_seconds: int = 0) -> StateTable:
        """Return what the outcomes of a window were worth."""
        return self._merged(
            Kept(MONEY, cohort),
            window,
            bucket_seconds,
            lambda part, size: super(KeptEvidence, self).money(part, cohort=cohort, bucket_seconds=size),
        )

    def exposure(self, window: Window | None, *, bucket_seconds: int = 0) -> StateTable:
        """Return how often each item of a ranking was shown in a window."""
        return self._merged(
            Kept(EXPOSURE),
            window,
            bucket_seconds,
            lambda part, size: super(KeptEvidence, self).exposure(part, bucket_seconds=size),
        )

    @cached_property
    def quarantined(self) -> int:
        """How many rows were put aside, in all tables."""
        places = (self._layout.lake(self.model.name, ASIDE), self._layout.spool(self.model.name, ASIDE))
        if not any(place.exists() for place in places):  # nearly always: then nothing has to be opened
            return 0
        as_of = None if self._is_now else self.as_of
        with Snapshot(self._layout, self.model.name, as_of=as_of, tables=(ASIDE,)) as snapshot:
            return cast("int", rows(snapshot.connection, COUNT_ASIDE)[0][0])

    def findings(self) -> list[Finding]:
        """Return every row of what the loops had noticed by the time of the question, oldest first."""
        found = read_findings(self._layout, self.model.name)
        return [one for one in found if one.recorded_at <= self.as_of]

    def open_findings(self) -> list[Finding]:
        """Return what the loops had noticed by the time of the question that was still so."""
        return open_findings(self.findings())

    def early_quality(self, window: Window | None, within: int, *, cohort: str = "") -> StateTable:
        """Return the quality state of a window, by what was known early: from rows."""
        self._refuse_without_rows(window, "when they were young")
        return super().early_quality(window, within, cohort=cohort)

    def quality_by_day(self, window: Window | None, *, cohort: str = "") -> list[tuple[int, StateTable]]:
        """Return the quality state of each local day of a window by its midnight, oldest first."""
        self._refuse_what_was_not_kept(quality_kind(self.model).name, window)
        days = self._local_days(window, cohort)
        if days is None:
            return super().quality_by_day(window, cohort=cohort)
        by_day = partial(super().quality_by_day, cohort=cohort)
        return self._filled(Kept(quality_kind(self.model), cohort), days, partial(self.quality, cohort=cohort), by_day)

    def arrivals_by_day(self, window: Window | None, *, cohort: str = "") -> list[tuple[int, StateTable]]:
        """Return the arrivals state of each local day of a window by its midnight, oldest first."""
        self._refuse_what_was_not_kept(ARRIVALS.name, window)
        days = self._local_days(window, cohort)
        if days is None:
            return super().arrivals_by_day(window, cohort=cohort)
        by_day = partial(super().arrivals_by_day, cohort=cohort)
        return self._filled(Kept(ARRIVALS, cohort), days, partial(self.arrivals, cohort=cohort), by_day)

    def profile_by_day(
        self, window: Window | None, *, cohort: str = "", definition: Definition | None = None
    ) -> list[tuple[int, StateTable]]:
        """Return the profile state of each local day of a window by its midnight, oldest first."""
        if definition is not None:
            self._refuse_without_rows(window, "in other bins")
            return super().profile_by_day(window, definition=definition)
        self._refuse_what_was_let_go(window)
        self._refuse_what_was_not_kept(PROFILE.name, window)
        days = self._local_days(window, cohort)
        if days is None:
            return super().profile_by_day(window, cohort=cohort)
        by_day = partial(super().profile_by_day, cohort=cohort)
        return self._filled(Kept(PROFILE, cohort), days, partial(self.profile, cohort=cohort), by_day)

    def money_by_day(self, window: Window | None) -> list[tuple[int, StateTable]]:
        """Return the money state of each local day of a window by its midnight, oldest first."""
        self._refuse_what_was_not_kept(MONEY.name, window)
        days = self._local_days(window)
        by_day = super().money_by_day
        return by_day(window) if days is None else self._filled(Kept(MONEY), days, self.money, by_day)

    def exposure_by_day(self, window: Window | None) -> list[tuple[int, StateTable]]:
        """Return the exposure state of each local day of a window by its midnight, oldest first."""
        self._refuse_what_was_not_kept(EXPOSURE.name, window)
        days = self._local_days(window)
        by_day = super().exposure_by_day
        return by_day(window) if days is None else self._filled(Kept(EXPOSURE), days, self.exposure, by_day)

    def _filled(
        self,
        kept: Kept,
        days: Sequence[tuple[int, Window]],
        state_of: Callable[[Window], StateTable],
        states_of: Callable[[Window], list[tuple[int, StateTable]]],
    ) -> list[tuple[int, StateTable]]:
        """Return the state of each day that has any: asked once for whole days whose state holds, as for days of rows.

        Args:
            kept: Which states.
            days: Each local day, or a part of it, by its midnight.
            state_of: The state of one.
            states_of: The state of each day of a window, from rows.
        """
        progress, summaries = self.progress, self._summaries
        if progress is None or summaries is None:
            return [(midnight, state) for midnight, day in days if len(state := state_of(day))]
        if kept.kind.name in progress.lacking:  # nothing is known of these days: they are left out, not empty
            days = [(midnight, day) for midnight, day in days if day.start >= progress.lacking_before]
        zone = self.model.timezone
        touched = {local_midnight(start, zone) for start in self.dirty}
        whole = {
            midnight
            for midnight, day in days
            if midnight not in touched
            and (day.start, day.end) == (midnight, shift_days(midnight, 1, zone))
            and day.end <= progress.closed_until
        }
        found = summaries.tables_by_start(kept, "day", whole)
        for is_of_rows, stretch in groupby(days, key=lambda one: self._is_of_rows(one[1], progress)):
            asked = [(midnight, day) for midnight, day in stretch if midnight not in whole]
            if is_of_rows and len(asked) > 1:
                found |= states_of(Window(asked[0][1].start, asked[-1][1].end))
            else:
                found |= {midnight: state_of(day) for midnight, day in asked}
        return [(midnight, state) for midnight, state in sorted(found.items()) if len(state)]

    def _is_of_rows(self, day: Window, progress: Progress) -> bool:
        """Return whether a day's rows are there and half its buckets or more do not hold: at night nothing may come."""
        step = self._bucket * MICROS
        starts = range(day.start // step * step, min(day.end, progress.closed_until), step)
        return day.start >= self._let_go_before and 2 * len(self.dirty.intersection(starts)) >= len(starts)

    def _local_days(self, window: Window | None, cohort: str = "") -> list[tuple[int, Window]] | None:
        """Return the part of each local day that lies in a window, by its midnight; None when rows must answer."""
        span = window or self.span
        if self.progress is None or span is None or cohort in VERSION_COHORTS:
            return None
        zone = self.model.timezone
        days: list[tuple[int, Window]] = []
        start = span.start
        while start < span.end:
            midnight = local_midnight(start, zone)
            end = min(shift_days(midnight, 1, zone), span.end)
            days.append((midnight, Window(start, end)))
            start = end
        return days

    def _merged(
        self,
        kept: Kept,
        window: Window | None,
        seconds: int,
        query: Callable[[Window | None, int], StateTable],
    ) -> StateTable:
        """Return a window's state from kept weeks, days and buckets, and from rows for the rest.

        A state that is split by time comes from rows, but for the buckets that are kept.
        """
        progress, summaries = self.progress, self._summaries
        self._refuse_what_was_let_go(window)
        if kept.cohort in VERSION_COHORTS:  # by which no state is kept
            self._refuse_without_rows(window, f"by {kept.cohort}")
            return query(window, seconds)
        span = window or self.span
        is_split_otherwise = bool(seconds) and (seconds != self._bucket or kept.is_by_day)
        if progress is None or summaries is None or span is None or is_split_otherwise:
            return query(window, seconds)
        step, zone = self._bucket * MICROS, self.model.timezone
        # Beyond the first and the last prediction there is nothing: then a day's state is that of its part.
        is_all_before = progress.first_at is not None and span.start <= progress.first_at
        is_all_after = progress.last_at is not None and span.end > progress.last_at
        first, last = -(-span.start // step) * step, span.end // step * step
        is_counted = kept.kind in {SPENDING, TRAFFIC}  # of what was not kept too, which may begin a little earlier
        if is_all_before:
            first = span.start // step * step if is_counted else local_midnight(span.start, zone)
        if is_all_after and not is_counted:
            last = shift_days(local_midnight(span.end, zone), 1, zone)
        last = min(last, progress.closed_until)
        clean = [start for start in range(first, last, step) if start not in self.dirty]
        weeks, days, buckets = ([], [], clean) if seconds else whole_stretches(clean, step, zone)
        if kept.is_by_day:
            clean = sorted(set(clean) - set(buckets))
            buckets = []
        gaps = gaps_between(span, clean, step)
        if any(gap.start < self._let_go_before and gap.end > (progress.first_at or 0) for gap in gaps):
            grain = "days" if kept.is_by_day else "hours"
            msg = f"the rows before {self._text(self._let_go_before)} were let go: whole {grain} of them are kept"
            raise UsageError(msg, hint=f"choose a window of whole {grain}: this one is {span.text(zone)}")
        self._refuse_what_was_not_kept(kept.kind.name, span)
        tables = [
            *summaries.tables(kept, "week", weeks),
            *summaries.tables(kept, "day", days),
            *(
                table.at("bucket", start if seconds else 0)
                for start, table in summaries.tables_by_start(kept, "bucket", buckets).items()
            ),
            *self._from_rows(gaps, query, seconds, is_counted=is_counted),
        ]
        return merge(kept.kind, tables)

    @cached_property
    def _let_go_before(self) -> int:
        """Before when rows are gone; 0 when none are."""
        found = self._summaries.progress() if self._summaries is not None else None
        if found is None or found.first_at is None or found.first_at >= found.let_go_before:
            return 0
        return found.let_go_before

    def has_rows_of(self, window: Window | None) -> bool:
        """Return whether no row of a window was let go."""
        return not self._let_go_before or (window is not None and window.start >= self._let_go_before)

    def _refuse_what_was_not_kept(self, kind: str, window: Window | None) -> None:
        """Refuse a question about days that an older version kept without what it needs: nothing is no answer."""
        progress = self.progress
        if progress is None or window is None or kind not in progress.lacking:
            return
        if window.start < progress.lacking_before and window.end > (progress.first_at or 0):
            day = self._text(progress.lacking_before)
            msg = f"rows before {day} were let go, and the version that kept those days did not count what {kind} needs"
            raise UsageError(msg, hint=f"choose a window that starts at {day} or later")

    def _refuse_what_was_let_go(self, window: Window | None) -> None:
        """Refuse a question about what was known earlier of days whose rows are gone: states know only the present."""
        if not self._is_now:
            self._refuse_without_rows(window, f"on {self._text(self.as_of)}")

    def _refuse_without_rows(self, window: Window | None, when: str) -> None:
        if not self.has_rows_of(window):
            msg = (
                f"the rows before {self._text(self._let_go_before)} were let go:"
                f" what was known of them {when} cannot be told any more"
            )
            raise UsageError(msg, hint="ask about what is known now, or about a window that starts later")

    def _text(self, at: int) -> str:
        return text(at, self.model.timezone)

    def _from_rows(
        self,
        gaps: Sequence[Window],
        query: Callable[[Window | None, int], StateTable],
        seconds: int,
        *,
        is_counted: bool,
    ) -> list[StateTable]:
        """Return states of the stretches that the kept states leave open."""
        step = self._bucket * MICROS
        open_gaps = [gap for gap in gaps if self._may_have_rows(gap, is_counted=is_counted)]
        if len(open_gaps) <= _RUNS:
            return [query(gap, seconds) for gap in open_gaps]
        # Many short stretches: one query over all of them, keeping only their buckets. Ragged ends apart.
        ragged = [gap for gap in open_gaps if gap.start % step or gap.end % step]
        whole = [gap for gap in open_gaps if not (gap.start % step or gap.end % step)]
        wanted = {start for gap in whole for start in range(gap.start, gap.end, step)}
        bucketed = query(Window(whole[0].start, whole[-1].end), step // MICROS)
        chosen = bucketed.where(lambda key: key["bucket"] in wanted)
        return [*(query(gap, seconds) for gap in ragged), chosen if seconds else chosen.at("bucket", 0)]

    def _may_have_rows(self, gap: Window, *, is_counted: bool) -> bool:
        """Return whether a stretch may hold rows: outside the span and without news there are none."""
        progress, span = self.progress, self.span
        if progress is None or self.news - {"changes"} or self.dirty:
            return True
        if span is None:
            return False
        # A call may be billed long after the last prediction that was kept.
        end = max(span.end, (progress.last_counted_at or 0) + 1) if is_counted else span.end
        return gap.start < end and gap.end > span.start
