"""Leaks between a training set and the rows it is evaluated on: time, rows and entities on both sides.

What single columns give away is found in `column_leaks`. A finding is a breach where it leaves no other explanation,
and a warning where an honest one is possible: then the sentence says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from setpoint.core.clock import text as time_text
from setpoint.core.metric import counted, number
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import wilson
from setpoint.stats.leakage import averages, strength
from setpoint.stats.special import FloatArray

Severity = Literal["breach", "warning"]
NEGLIGIBLE = 0.01
"""Share of rows up to which an overlap moves no quality number by as much as its interval."""
_ALL = 0.99
_FEW_TRAINING_ROWS = 0.001


@dataclass(frozen=True, slots=True)
class Leak:
    """One thing that makes an evaluation look better than production will be.

    Attributes:
        code: Such as `interleaved_times`.
        severity: `breach` where there is no other explanation.
        subject: The column, or what is on both sides.
        said: What was found, why it matters, and what to do, in one sentence.
        numbers: The evidence, by name with its unit.
    """

    code: str
    severity: Severity
    subject: str
    said: str
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column of both sets as numbers.

    Attributes:
        name: As in the files.
        kind: `number`; `category`, then values are codes that both sides share; `time`, then microseconds since 1970.
        train: Of the training rows, shape (training rows,); nan is missing.
        test: Of the rows to evaluate on, shape (test rows,).
    """

    name: str
    kind: Literal["number", "category", "time"]
    train: FloatArray
    test: FloatArray


@dataclass(frozen=True, slots=True)
class Twins:
    """Test rows that are equal to a training row in every column but times and identifiers.

    Attributes:
        test_rows: Test rows looked at.
        twins: Those with an equal training row.
        chance: Share that is expected without a leak, since the columns are coarse.
        telling: A column that is different in most rows, so that equal rows are no chance; empty without one.
        is_same: Whether both files hold the same rows.
    """

    test_rows: int
    twins: int
    chance: float
    telling: str = ""
    is_same: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A training set and the rows it is evaluated on.

    Attributes:
        inputs: What the model may read.
        train_outcomes: 0 and 1, or numbers, shape (training rows,); nan is missing.
        test_outcomes: The same, shape (test rows,).
        is_binary: Whether outcomes are 0 and 1.
        times: When each row was predicted; None when nobody knows.
        known_at: When each outcome was learned; None when nobody knows.
        observed: When the value of an input was observed, by input.
        identifiers: Keys, which are no inputs and may still give the outcome away.
        entities: Whose rows these are, as the user says or by a unit: by column.
        declared: Those of them that the user named: they are to be on one side only.
        twins: Equal rows on both sides; None when nobody counted.
        zone: The zone that times are shown in.
    """

    inputs: tuple[Column, ...]
    train_outcomes: FloatArray
    test_outcomes: FloatArray
    is_binary: bool
    times: Column | None = None
    known_at: Column | None = None
    observed: Mapping[str, Column] = field(default_factory=dict[str, Column])
    identifiers: tuple[Column, ...] = ()
    entities: tuple[Column, ...] = ()
    declared: frozenset[str] = frozenset()
    twins: Twins | None = None
    zone: str = "UTC"

    @property
    def is_by_time(self) -> bool:
        """Whether it is known that, but for a negligible share, test rows are later than training rows."""
        if self.times is None:
            return False
        train, test = _known(self.times.train), _known(self.times.test)
        return bool(len(train) and len(test)) and not _is_interleaved(train, test)


def split_leaks(split: Split) -> list[Leak]:
    """Return what is wrong with how the rows were divided.

    Args:
        split: Both sets.

    Example:
        >>> both = Column("id", "category", np.arange(60.0), np.arange(60.0))
        >>> nothing = np.full(60, np.nan)
        >>> [leak.code for leak in split_leaks(Split((), nothing, nothing, True, identifiers=(both,)))]
        ['identifiers_on_both_sides']
    """
    rows = _rows(split)
    if any(leak.code == "training_rows_as_test" for leak in rows):
        return rows  # all else follows from it
    found = [*rows, *_times(split), *_maturity(split)]
    found += [leak for column in split.identifiers for leak in _identifiers(column)]
    return found + [leak for column in split.entities for leak in _entities(split, column)]


def share_words(share: Estimate) -> str:
    """Return a share with its interval, in words.

    Example:
        >>> share_words(wilson(8, 10))
        '80.0 % [49.0 %, 94.3 %]'
    """
    if share.value is None or share.low is None or share.high is None:
        return f"an unknown share ({share.reason})"
    return f"{number(share.value, 'share')} [{number(share.low, 'share')}, {number(share.high, 'share')}]"


def share_numbers(name: str, share: Estimate, rows: int) -> dict[str, float]:
    """Return a share as evidence: value, interval and the rows it rests on."""
    ends = {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
    return {key: value for key, value in ends.items() if value is not None} | {"rows": float(rows)}


def _known(values: FloatArray) -> FloatArray:
    return values[~np.isnan(values)]


def _part(flags: NDArray[np.bool_]) -> float:
    return float(flags.sum() / len(flags))


def _is_interleaved(train: FloatArray, test: FloatArray) -> bool:
    """Whether more than a few rows are on the wrong side; one wrong clock must not make a leak of all test rows."""
    return _part(test < train.max()) > NEGLIGIBLE and _part(train > test.min()) > _FEW_TRAINING_ROWS


def _share(flags: FloatArray) -> Estimate:
    return wilson(float(flags.sum()), float(len(flags)))


def _times(split: Split) -> list[Leak]:
    if split.times is None:
        return []
    train, test = _known(split.times.train), _known(split.times.test)
    if not (len(train) and len(test)):
        return []
    last = float(train.max())
    share = _share((test < last).astype(np.float64))
    later = _part(train > test.min())
    if not share.value:
        return []
    numbers = {**share_numbers("share", share, len(test)), "training_rows_later": later}
    subject, end = split.times.name, time_text(int(last), split.zone)
    if _is_interleaved(train, test):
        is_older = test.max() <= train.min()
        code = "test_older_than_training" if is_older else "interleaved_times"
        what = "all test rows are older than the training rows" if is_older else (
            f"{share_words(share)} of the test rows are older than the last training row ({end})"
        )  # fmt: skip
        why = "the model has learned from what came after them, as it never can in production"
        return [Leak(code, "breach", subject, f"{what}: {why}; split by time, the test rows last", numbers)]
    few = min(later * len(train), share.value * len(test))
    said = (
        f"{number(later, 'share')} of the training rows are later than the first test row, {share_words(share)} of the"
        f" test rows are older than the last training row ({end}): the border is not clean, or a clock is wrong in"
        f" about {counted(few, 'row')}; cut both files at one time"
    )
    return [Leak("unclean_border", "warning", subject, said, numbers)]


def _maturity(split: Split) -> list[Leak]:
    """Return outcomes that were learned before they could be predicted, or after the test began."""
    found: list[Leak] = []
    if split.times is None or split.known_at is None:
        return found
    subject = split.known_at.name
    both = ~np.isnan(split.known_at.test) & ~np.isnan(split.times.test)
    share = _share((split.known_at.test < split.times.test)[both].astype(np.float64)) if both.any() else None
    if share is not None and share.value:
        said = (
            f"{share_words(share)} of the test rows were predicted after their outcome was known ({subject}): nothing"
            " was left to predict; leave them out, or mend the times"
        )
        severity: Severity = "breach" if (share.low or 0.0) > NEGLIGIBLE else "warning"
        found.append(
            Leak("outcome_before_prediction", severity, subject, said, share_numbers("share", share, both.sum()))
        )
    first, known = _known(split.times.test), _known(split.known_at.train)
    if len(first) and len(known) and split.is_by_time:
        share = _share((known > first.min()).astype(np.float64))
        if (share.low or 0.0) > NEGLIGIBLE:
            said = (
                f"the outcomes of {share_words(share)} of the training rows were learned only after the first test row"
                " was predicted: a model trained at that time could not have had them; leave a gap as long as"
                " outcomes take between training and test"
            )
            found.append(
                Leak(
                    "outcomes_from_the_test_period", "warning", subject, said, share_numbers("share", share, len(known))
                )
            )
    return found


def _rows(split: Split) -> list[Leak]:
    twins = split.twins
    if twins is None or not twins.test_rows:
        return []
    share = wilson(twins.twins, twins.test_rows)
    numbers = {**share_numbers("share", share, twins.test_rows), "chance": twins.chance}
    value, low = share.value or 0.0, share.low or 0.0
    if low <= twins.chance + NEGLIGIBLE and not twins.is_same:
        return []
    if twins.is_same or (value >= _ALL and twins.chance < _ALL / 2):
        said = (
            f"{share_words(share)} of the test rows are training rows: the quality measured is that of remembering;"
            " evaluate on rows the model has not seen"
        )
        return [Leak("training_rows_as_test", "breach", "rows", said, numbers)]
    why = f"though {twins.telling} is different in most rows" if twins.telling else (
        f"where {number(twins.chance, 'share')} are expected, since the columns are coarse"
    )  # fmt: skip
    said = (
        f"{share_words(share)} of the test rows are equal to a training row, {why}: the model is asked what it was"
        " told; remove duplicates before you split"
    )
    severity: Severity = "breach" if twins.telling else "warning"
    return [Leak("rows_on_both_sides", severity, "rows", said, numbers)]


def _on_both_sides(column: Column) -> FloatArray:
    test = _known(column.test)
    return np.isin(test, _known(column.train)).astype(np.float64)


def _identifiers(column: Column) -> list[Leak]:
    """Return keys on both sides, where a key stands for one row."""
    if any(len(np.unique(_known(side))) < _ALL * len(_known(side)) for side in (column.train, column.test)):
        return []
    both = _on_both_sides(column)
    share = _share(both)
    if not len(both) or (share.low or 0.0) <= NEGLIGIBLE or column.kind == "number":
        return []  # whole numbers may just count the rows of each file
    said = (
        f"{share_words(share)} of the test rows carry a {column.name} that a training row carries: they are the same"
        " cases; keep each case on one side"
    )
    return [Leak("identifiers_on_both_sides", "breach", column.name, said, share_numbers("share", share, len(both)))]


def _entities(split: Split, column: Column) -> list[Leak]:
    both = _on_both_sides(column)
    share = _share(both)
    is_declared = column.name in split.declared
    if not len(both) or (share.low or 0.0) <= NEGLIGIBLE or (split.is_by_time and not is_declared):
        return []  # that entities come back later is what production is like
    known = ~np.isnan(split.train_outcomes) & ~np.isnan(column.train)
    told = Estimate.unknown("no outcomes")
    if known.any():
        asked = ~np.isnan(split.test_outcomes) & ~np.isnan(column.test)
        by_entity = averages(column.train[known], split.train_outcomes[known], column.test[asked])
        told = strength(by_entity, split.test_outcomes[asked], is_binary=split.is_binary)
    harm = "" if told.value is None else (
        f" (their earlier outcomes alone order the test outcomes with a strength of {strength_words(told)})"
    )  # fmt: skip
    numbers = share_numbers("share", share, len(both))
    numbers |= {} if told.value is None else {"strength": told.value}
    what = f"{share_words(share)} of the test rows belong to a {column.name} that has training rows"
    if split.is_by_time:
        said = (
            f"{what}{harm}: honest if they come back in production as often, but nothing is measured for a new"
            f" {column.name}; test those apart"
        )
        return [Leak("entities_on_both_sides", "warning", column.name, said, numbers)]
    said = f"{what}{harm}: the model may know them by heart; keep all rows of a {column.name} on one side"
    severity: Severity = "breach" if is_declared else "warning"
    return [Leak("entities_on_both_sides", severity, column.name, said, numbers)]


def strength_words(found: Estimate) -> str:
    """Return a strength with its interval.

    Example:
        >>> strength_words(Estimate(0.5, 0.4, 0.6))
        '0.500 [0.400, 0.600]'
    """
    if found.value is None or found.low is None or found.high is None:
        return f"unknown ({found.reason})"
    return f"{number(found.value, 'ratio')} [{number(found.low, 'ratio')}, {number(found.high, 'ratio')}]"
