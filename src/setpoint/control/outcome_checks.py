"""The checks of how outcomes arrive: a source that fell silent, a new source, and a delay that changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np

from setpoint.control.episode import Episode
from setpoint.core.clock import DAY, HOUR, MICROS, duration_text, text
from setpoint.core.metric import number
from setpoint.core.window import shift_days
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.imports import IMPORTED
from setpoint.store.primitives import AGE_BINS_PER_OCTAVE
from setpoint.store.states import StateTable

FEWEST_HOURS = 20
"""Hours with outcomes before the usual silence of a source is known."""

FEWEST_PREDICTIONS = 100
"""Predictions a silence must hold before it says anything."""

REFERENCE_DAYS = (7, 28)
"""Days that the usual delay is taken from: at least, and at most."""

_LIMIT, _RELEVANT, _IN_A_ROW = 4.0, 0.1, 2


def stalled_outcomes(evidence: RowEvidence, now: int) -> list[Episode]:
    """A source of outcomes that has been silent more than twice as long as it ever was, while predictions went on.

    The usual silence is the longest before, so that a file once a week is no alarm; a silence that was one does not
    count as usual.
    """
    hour = f"epoch_us(predicted_at) // {HOUR} * {HOUR}"
    by_hour = rows(evidence.connection, f"SELECT {hour} AS hour, count(*) FROM predictions GROUP BY hour ORDER BY hour")
    hours_of, counts = np.array([(0, 0), *by_hour], dtype=np.int64).T
    so_far = np.cumsum(counts)

    def predictions_before(at: int) -> int:
        """Return how many predictions there were until the hour that holds a time."""
        return int(so_far[np.searchsorted(hours_of, at) - 1]) if at > 0 else 0

    found: list[Episode] = []
    for (kind, source), hours in _hours_of_sources(evidence).items():
        longest = HOUR
        for seen, (last, following) in enumerate(pairwise([*hours, None])):
            if last is None:  # pairwise cannot know that only the end is
                continue
            began = last + HOUR + 2 * longest
            over = now if following is None else following
            missed = predictions_before(over) - predictions_before(last + HOUR)
            is_stalled = seen + 1 >= FEWEST_HOURS and over > began and missed >= FEWEST_PREDICTIONS
            if not is_stalled:
                longest = max(longest, over - last - HOUR)
                continue
            name = f"{kind} from {source}" if source else kind
            said = (
                f"no outcome ({name}) since {text(last + HOUR, evidence.model.timezone)}, and none was ever silent"
                f" for more than {duration_text(longest)}; look whether what delivers them still runs"
            )
            numbers: dict[str, object] = {"usual_seconds": longest // MICROS, "predictions": missed}
            found.append(Episode("stalled_outcomes", "", name, began, following, "warning", said, numbers))
    return found


def _hours_of_sources(evidence: RowEvidence) -> dict[tuple[str, str], list[int]]:
    """Return the hours in which outcomes of each kind and source were recorded."""
    found: dict[tuple[str, str], list[int]] = {}
    hour = f"epoch_us(recorded_at) // {HOUR} * {HOUR}"
    # A file is no source of its own: the next one has another name.
    source = f"CASE WHEN source IS NULL OR starts_with(source, {literal(IMPORTED)}) THEN '' ELSE source END"
    sql = f"SELECT DISTINCT kind, {source}, {hour} AS hour FROM outcomes ORDER BY 1, 2, 3"
    for kind, source, at in cast("list[tuple[str, str, int]]", rows(evidence.connection, sql)):
        found.setdefault((kind, source), []).append(at)
    return found


def new_outcome_sources(evidence: RowEvidence, now: int) -> list[Episode]:
    """A source that outcomes of a kind never came from in their first week: what an outcome means may have changed."""
    del now
    kinds: dict[str, list[tuple[int, str]]] = {}
    for (kind, source), hours in _hours_of_sources(evidence).items():
        kinds.setdefault(kind, []).append((hours[0], source))
    found: list[Episode] = []
    for kind, firsts in kinds.items():
        began = min(firsts)[0]
        for at, source in sorted(firsts):
            if at < began + 7 * DAY:
                continue
            named = source or "nowhere that is named"
            said = f"outcomes ({kind}) now also come from {named}; look whether they mean the same"
            subject = f"{kind} from {named}"
            found.append(Episode("new_outcome_source", "", subject, at, at + 7 * DAY, "warning", said, {}))
    return found


@dataclass(frozen=True, slots=True)
class _Day:
    """What came of a day's predictions: those whose outcome came, by age bin."""

    start: int
    end: int
    predictions: float
    ages: dict[int, float]

    def within(self, age: int) -> float:
        """Share of predictions whose outcome came in an age bin or an earlier one, 0 to 1."""
        return sum(count for place, count in self.ages.items() if place <= age) / self.predictions


def changed_delays(evidence: RowEvidence, now: int) -> list[Episode]:
    """Outcomes that take longer, or less long, than they did: the share that is there by the usual age has changed.

    By the median age of the weeks before, two days in a row must differ from those weeks by more than ten points and
    by more than four standard deviations of their days, which include the noise of the day's own size. After four
    weeks the new delay is the usual one.
    """
    days = _days(evidence)
    found: list[Episode] = []
    usual: list[_Day] = []
    odd: list[_Day] = []
    for day in days:
        reference = usual[-REFERENCE_DAYS[1] :]
        if len(reference) < REFERENCE_DAYS[0]:
            usual.append(day)
            continue
        age = _median_age(reference)
        known_at = day.end + round(2.0 ** ((age + 1) / AGE_BINS_PER_OCTAVE) * MICROS)
        if known_at > now:
            break
        if not _differs(day, reference, age):
            found += _episode(odd, day.start, reference, evidence)
            usual.append(day)
            odd = []
            continue
        odd.append(day)
        if len(odd) == REFERENCE_DAYS[1]:
            found += _episode(odd, day.end, reference, evidence)
            usual, odd = odd, []
    return found + _episode(odd, None, usual[-REFERENCE_DAYS[1] :], evidence)


def _days(evidence: RowEvidence) -> list[_Day]:
    zone, kind = evidence.model.timezone, evidence.model.final_kind
    found: list[_Day] = []
    for midnight, state in evidence.arrivals_by_day(None):
        mine = state.only(kind=kind)
        predictions = mine.total("weight")
        if mine.total("rows") >= FEWEST_PREDICTIONS:
            ages = _weight_by_age(mine.without(outcome=None))
            found.append(_Day(midnight, shift_days(midnight, 1, zone), predictions, ages))
    return found


def _weight_by_age(state: StateTable) -> dict[int, float]:
    found: dict[int, float] = {}
    for age, weight in zip(state.key("age"), state.column("weight").tolist(), strict=True):
        if age is not None:
            found[cast("int", age)] = found.get(cast("int", age), 0.0) + weight
    return found


def _median_age(days: Sequence[_Day]) -> int:
    """Return the age bin by which half of the outcomes of some days had come."""
    total: dict[int, float] = {}
    for day in days:
        for age, weight in day.ages.items():
            total[age] = total.get(age, 0.0) + weight
    half, so_far = sum(total.values()) / 2, 0.0
    for age in sorted(total):
        so_far += total[age]
        if so_far >= half:
            return age
    return 0


def _differs(day: _Day, reference: Sequence[_Day], age: int) -> bool:
    shares = np.array([one.within(age) for one in reference])
    mean = float(shares.mean())
    spread = math.sqrt(float(shares.var(ddof=1)) + mean * (1.0 - mean) / day.predictions)
    gap = abs(day.within(age) - mean)
    return gap > max(_RELEVANT, _LIMIT * spread)


def _episode(
    odd: Sequence[_Day], ended_at: int | None, reference: Sequence[_Day], evidence: RowEvidence
) -> list[Episode]:
    if len(odd) < _IN_A_ROW:
        return []
    age = _median_age(reference)
    before, after = (float(np.mean([day.within(age) for day in days])) for days in (reference, odd[:_IN_A_ROW]))
    seconds = round(2.0 ** ((age + 1) / AGE_BINS_PER_OCTAVE))
    since = text(odd[0].start, evidence.model.timezone)
    said = (
        f"outcomes take {'longer' if after < before else 'less long'} since {since}: {number(after, 'share')} had come"
        f" within {duration_text(seconds * MICROS)}, before {number(before, 'share')}"
    )
    numbers: dict[str, object] = {"age_seconds": seconds, "share_before": before, "share_after": after}
    began = odd[_IN_A_ROW - 1].end
    return [Episode("changed_delay", "", evidence.model.final_kind, began, ended_at, "warning", said, numbers)]
