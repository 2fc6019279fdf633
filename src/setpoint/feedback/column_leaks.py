"""What single columns give away: the outcome itself, the test outcomes, the future.

One finding a column, the surest first. A column whose values are known to have been observed before the prediction
is not suspected of being too strong: that it is, is what it was made for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from setpoint.core.metric import number
from setpoint.feedback.future_leaks import (
    RowCounts,
    Sequence,
    counted_ahead,
    known_ahead,
    late_leaks,
    row_counts_of,
    sequences_of,
)
from setpoint.feedback.leaks import (
    Column,
    Leak,
    Split,
    share_numbers,
    share_words,
    strength_words,
)
from setpoint.stats.estimate import Estimate
from setpoint.stats.leakage import (
    FEWEST_ROWS,
    STRONG,
    Repeats,
    averages,
    missing_tells,
    own_averages,
    repeats,
    scaled_with_both,
    stand_out,
    strength,
    too_calibrated,
)
from setpoint.stats.special import FloatArray

CERTAIN = 0.98
"""Strength from which nothing but the outcome itself explains a column that stands out."""
_HALF = 0.5
_PURE = 0.95
_EXPLAINED = 0.9
_TURNS, _REPEATED_ROWS = 10, 200
_MOSTLY = 0.9
_FADED = 3.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What the columns of a split came to.

    Attributes:
        leaks: Found.
        strengths: Of each input alone in the test rows, and in the training rows, by name.
        unknown: What could not be judged, in words.
        is_sought: Whether what inputs give away was sought: of an order or a text nothing is.
    """

    leaks: tuple[Leak, ...]
    strengths: dict[str, tuple[Estimate, Estimate]]
    unknown: tuple[str, ...]
    is_sought: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """What is found once for all columns."""

    strengths: dict[str, tuple[Estimate, Estimate]]
    strong: dict[str, int]
    sequences: list[Sequence]
    row_counts: list[RowCounts]


def column_leaks(split: Split, *, beyond: str = "") -> Judged:
    """Return which columns know what they cannot know.

    Args:
        split: Both sets.
        beyond: What is predicted, where no single number says it, in words: then only times are looked at.

    Example:
        >>> truth = np.tile([0.0, 1.0], 60)
        >>> copy = Column("status", "category", truth, truth)
        >>> [(leak.code, leak.subject) for leak in column_leaks(Split((copy,), truth, truth, True)).leaks]
        [('outcome_in_input', 'status')]
    """
    unknown = f"what inputs give away: not sought where {beyond} is predicted" if beyond else _not_judged(split)
    if unknown:
        found = [leak for column in split.inputs for leak in late_leaks(split, column)]
        return Judged(tuple(found), {}, (unknown,), is_sought=not beyond)
    known = _with_outcomes(split)
    strengths = {
        column.name: (_test_strength(known, column), _train_strength(known, column)) for column in known.inputs
    }
    strong = _standing_out(known, strengths)
    looked = _Looked(strengths, strong, list(sequences_of(known)), list(row_counts_of(split)))
    found: list[Leak] = []
    whole = {column.name: column for column in split.inputs}
    for column in known.inputs:
        first = next(_checks(known, whole[column.name], column, looked), None)
        found += [] if first is None else [first]
    found += [leak for column in known.identifiers for leak in _ordered(known, column)]
    why: list[str] = []
    if len(known.inputs) == 1:
        why.append(f"whether {known.inputs[0].name} is suspiciously strong: there is no other input to compare it with")
    if not looked.sequences:
        why.append("whether an input knows later outcomes: the rows have no times; name the column with time")
    empty = [c.name for c in split.inputs if bool(np.all(np.isnan(c.train)) or np.all(np.isnan(c.test)))]
    if empty:
        why.append(f"what {', '.join(empty)} gives away: no value in one of the files")
    few = {name: test.reason for name, (test, _) in strengths.items() if not test.is_known and name not in empty}
    why += [f"what {name} gives away: {reason}" for name, reason in few.items()]
    return Judged(tuple(found), strengths, tuple(why))


def _not_judged(split: Split) -> str:
    """Return why columns cannot be held against outcomes; empty when they can."""
    for name, outcomes in (("test", split.test_outcomes), ("training", split.train_outcomes)):
        known = outcomes[~np.isnan(outcomes)]
        if len(known) < FEWEST_ROWS:
            return f"what inputs give away: {len(known):,} {name} rows have an outcome, needs {FEWEST_ROWS}"
        if len(np.unique(known)) == 1:
            only = f"{known[0]:g}" + (" (1 is yes)" if split.is_binary else "")
            return f"what inputs give away: all {name} rows have the same outcome, {only}"
    if not split.inputs:
        return "what inputs give away: the files share no input"
    return ""


def _with_outcomes(split: Split) -> Split:
    """Return the rows that have an outcome."""
    a, b = ~np.isnan(split.train_outcomes), ~np.isnan(split.test_outcomes)

    def cut(column: Column) -> Column:
        return Column(column.name, column.kind, column.train[a], column.test[b])

    return Split(
        tuple(_ages(split, column, cut(column), a, b) for column in split.inputs),
        split.train_outcomes[a],
        split.test_outcomes[b],
        split.is_binary,
        None if split.times is None else cut(split.times),
        observed={name: cut(column) for name, column in split.observed.items()},
        identifiers=tuple(cut(column) for column in split.identifiers),
        entities=tuple(cut(column) for column in split.entities),
        zone=split.zone,
    )


def _ages(split: Split, column: Column, cut: Column, train: NDArray[np.bool_], test: NDArray[np.bool_]) -> Column:
    """Return a time as how much later than the prediction it is: only that means something for the outcome."""
    if column.kind != "time" or split.times is None:
        return cut
    return Column(cut.name, "time", cut.train - split.times.train[train], cut.test - split.times.test[test])


def _test_strength(split: Split, column: Column) -> Estimate:
    values = column.test
    if column.kind == "category":
        values = averages(column.train, split.train_outcomes, column.test)
    return strength(values, split.test_outcomes, is_binary=split.is_binary)


def _train_strength(split: Split, column: Column) -> Estimate:
    """Return the strength in the training rows; of categories from the averages of the other half."""
    values, outcomes = column.train, split.train_outcomes
    if column.kind == "category":
        half = np.random.default_rng(0).random(len(outcomes)) < _HALF
        values = np.empty(len(outcomes))
        for asked in (half, ~half):
            values[asked] = averages(column.train[~asked], outcomes[~asked], column.train[asked])
    return strength(values, outcomes, is_binary=split.is_binary)


def _standing_out(split: Split, strengths: dict[str, tuple[Estimate, Estimate]]) -> dict[str, int]:
    """Return the inputs that stand out, and on which side: 0 the test rows, 1 the training rows."""
    names = [column.name for column in split.inputs]
    found: dict[str, int] = {}
    for side in (0, 1):
        for place in stand_out([strengths[name][side] for name in names]):
            found.setdefault(names[place], side)
    return found


def _checks(split: Split, whole: Column, column: Column, looked: _Looked) -> Iterator[Leak]:
    """Yield what is wrong with a column, the surest first; `whole` has the rows without an outcome too."""
    strengths, strong = looked.strengths, looked.strong
    yield from _copies(split, column)
    yield from _encoded(split, column)
    yield from late_leaks(split, whole)
    yield from known_ahead(looked.sequences, column, is_binary=split.is_binary)
    yield from counted_ahead(whole, looked.row_counts)
    yield from _missing(split, column)
    if column.name in strong and column.name not in split.observed:
        yield _too_strong(column, strengths[column.name][strong[column.name]], strong[column.name])
    yield from _function(split, column, strengths[column.name][0])
    yield from _faded(column, *strengths[column.name])
    yield from _scaled(whole)
    yield from _counter(whole)


_THEN = "it can only have been filled in when the outcome was known"


def _copies(split: Split, column: Column) -> Iterator[Leak]:
    """Yield a column that is the outcome under another name: each value goes with one outcome and the other way."""
    values = np.concatenate([column.train, column.test])
    outcomes = np.concatenate([split.train_outcomes, split.test_outcomes])
    known = ~np.isnan(values)
    rows, count = int(known.sum()), len(np.unique(outcomes[known]))
    if rows < FEWEST_ROWS or count == 1 or len(np.unique(values[known])) != count:
        return
    pairs = np.unique(np.column_stack([values[known], outcomes[known]]), axis=0)
    # Where all numbers are different, each goes with one outcome in any column.
    if len(pairs) != count or (len(pairs) == rows and (column.kind == "category" or not _is_line(pairs))):
        return
    said = f"{column.name} is the outcome under another name in all {rows:,} rows that have it: leave it out"
    yield Leak("outcome_in_input", "breach", column.name, said, {"rows": float(rows), "strength": 1.0})


def _is_line(pairs: FloatArray) -> bool:
    """Whether outcomes rise or fall with every step of the values."""
    steps = np.sign(np.diff(pairs[:, 1]))
    return bool(np.all(steps == steps[0])) and steps[0] != 0.0


def _encoded(split: Split, column: Column) -> Iterator[Leak]:
    if column.kind != "number":
        return
    both = np.concatenate([column.train, column.test]), np.concatenate([split.train_outcomes, split.test_outcomes])
    own, train = own_averages(column.test, split.test_outcomes), own_averages(column.train, split.train_outcomes)
    pooled = own_averages(*both)
    numbers = {"equal_to_test_average": own, "equal_to_average_of_both": pooled, "equal_to_training_average": train}
    if own >= _MOSTLY or (pooled >= _MOSTLY and train < _MOSTLY):
        which = "test rows" if own >= _MOSTLY else "training and test rows together"
        said = (
            f"{column.name} is the average outcome of the {which} that carry it, in {number(max(own, pooled), 'share')}"
            " of the rows that share a value: test outcomes are in the input; encode with training rows only"
        )
        yield Leak("encoded_with_test_outcomes", "breach", column.name, said, numbers)
        return
    close = too_calibrated(column.test, split.test_outcomes) if split.is_binary else Estimate.unknown("no rates")
    if close.value is not None and close.value < _HALF and (close.high or 0.0) < 1.0:
        said = (
            f"{column.name} comes closer to the rates of the test outcomes than chance lets even true probabilities"
            f" come ({number(close.value, 'ratio')} of what chance leaves): it was made with test outcomes; encode"
            " with training rows only"
        )
        yield Leak("encoded_with_test_outcomes", "breach", column.name, said, {"miss_in_units_of_chance": close.value})


def _function(split: Split, column: Column, alone: Estimate) -> Iterator[Leak]:
    if column.kind == "category" or not split.is_binary:
        return
    outcomes = split.test_outcomes
    told, inside = repeats(column.test, outcomes), ""
    if not _is_function(told):
        # What orders the outcomes by itself does so inside any category too, which proves nothing.
        told, inside = _function_inside(split, column) if (alone.value or 0.0) < _HALF else (None, "")
    if told is not None:
        said = (
            f"equal values of {column.name}{inside} have equal outcomes in {told.rows:,} of {len(outcomes):,} test"
            f" rows, though the outcome turns {told.turns:,} times as the value rises: it was made from the outcomes,"
            " as an average that leaves out the own row is; encode with training rows only"
        )
        numbers = {"explained": told.explained, "turns": float(told.turns), "rows": float(told.rows)}
        yield Leak("function_of_outcome", "breach", column.name, said, numbers)


def _is_function(found: Repeats) -> bool:
    return found.explained >= _EXPLAINED and found.turns >= _TURNS and found.rows >= _REPEATED_ROWS


def _function_inside(split: Split, column: Column) -> tuple[Repeats | None, str]:
    """Return how the values of each category determine the outcome where the category alone does not."""
    known = ~np.isnan(column.test)
    different, place = np.unique(column.test, return_inverse=True)
    for category in (one for one in split.inputs if one.kind == "category"):
        pairs = np.where(known, np.nan_to_num(category.test, nan=-1.0) * len(different) + place, np.nan)
        found = repeats(pairs, split.test_outcomes)
        if _is_function(found) and repeats(category.test, split.test_outcomes).explained < _HALF:
            return found, f" inside a {category.name}"
    return None, ""


def _too_strong(column: Column, found: Estimate, side: int) -> Leak:
    where = "training rows" if side else "test rows"
    numbers = {"strength": found.value or 0.0, "strength_low": found.low or 0.0, "strength_high": found.high or 0.0}
    what = (
        f"{column.name} alone orders the outcomes of the {where} with a strength of {strength_words(found)}, far above"
        " all other inputs"
    )
    if (found.low or 0.0) >= CERTAIN:
        return Leak("outcome_in_input", "breach", column.name, f"{what}: {_THEN}; leave it out", numbers)
    said = f"{what}: likely {_THEN}; find out when it is known, and say so with --observed {column.name}=COLUMN"
    return Leak("suspiciously_strong", "warning", column.name, said, numbers)


def _faded(column: Column, test: Estimate, train: Estimate) -> Iterator[Leak]:
    if test.high is None or train.low is None or train.low < _HALF or train.low < _FADED * test.high:
        return
    said = (
        f"{column.name} alone orders the training outcomes with a strength of {strength_words(train)} and the test"
        f" outcomes with {strength_words(test)}: it was likely made with the training outcomes themselves, row by row;"
        " encode each row with the outcomes of other rows"
    )
    numbers = {"strength": test.value or 0.0, "training_strength": train.value or 0.0}
    yield Leak("stronger_in_training", "warning", column.name, said, numbers)


def _missing(split: Split, column: Column) -> Iterator[Leak]:
    for where, values, outcomes in (
        ("test rows", column.test, split.test_outcomes),
        ("training rows", column.train, split.train_outcomes),
    ):
        gone = np.isnan(values).astype(np.float64)
        if min(gone.sum(), (1.0 - gone).sum()) < FEWEST_ROWS:
            continue
        told = missing_tells(gone, outcomes, is_binary=split.is_binary)
        pure = told.purity.low or 0.0
        is_pure = pure >= _PURE and told.rest <= _HALF
        if not is_pure and (told.strength.low or 0.0) < _HALF:
            continue
        said = (
            f"whether {column.name} is missing tells the outcome in the {where} (strength"
            f" {strength_words(told.strength)}): honest only if it is missing before the outcome is known; fill it as"
            " it is when the prediction is made"
        )
        if is_pure:
            state = "missing" if told.is_missing else "there"
            said = (
                f"where {column.name} is {state}, {share_words(told.purity)} of the {where} have the rarer outcome,"
                f" elsewhere {number(told.rest, 'share')}: likely {_THEN}; fill it as it is when the prediction is made"
            )
        numbers = {"strength": told.strength.value or 0.0, **share_numbers("share", told.purity, told.rows)}
        yield Leak("missing_tells_outcome", "warning", column.name, said, numbers)
        return


def _scaled(column: Column) -> Iterator[Leak]:
    how = scaled_with_both(column.train, column.test) if column.kind == "number" else ""
    if how:
        said = (
            f"{column.name} was scaled by the {how} of training and test rows together: test rows changed what the"
            " model was trained on; scale by the training rows only"
        )
        yield Leak("scaled_with_test_rows", "warning", column.name, said, {})


def _counter(column: Column) -> Iterator[Leak]:
    """Yield a column that only counts the rows of a file."""
    if column.kind != "number" or min(len(column.train), len(column.test)) < FEWEST_ROWS:
        return
    steps = np.concatenate([np.diff(column.train), np.diff(column.test)])
    if bool(np.all(steps == steps[0])) and steps[0] != 0.0:
        said = (
            f"{column.name} only counts the rows: what a model learns from it is the order of the training file; leave"
            " it out"
        )
        yield Leak("row_number_as_input", "warning", column.name, said, {"step": float(steps[0])})


def _ordered(split: Split, column: Column) -> Iterator[Leak]:
    """Yield an identifier whose order tells the outcome: rows were numbered, or written, outcome by outcome."""
    for where, values, outcomes in (
        ("test rows", column.test, split.test_outcomes),
        ("training rows", column.train, split.train_outcomes),
    ):
        found = strength(values, outcomes, is_binary=split.is_binary)
        if (found.low or 0.0) >= STRONG:
            said = (
                f"the order of {column.name} tells the outcome in the {where} with a strength of"
                f" {strength_words(found)}: rows were numbered outcome by outcome, and whatever is made from it"
                " leaks; make no input from it"
            )
            numbers = {"strength": found.value or 0.0, "strength_low": found.low or 0.0}
            yield Leak("identifier_tells_outcome", "warning", column.name, said, numbers)
            return
