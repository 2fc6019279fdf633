"""Which parts of some rows do worse than the rest: found on one half of the rows, confirmed on the other.

A part is one value of a dimension, or two values of two. Every part with enough rows is looked at by
counting; what looks worst on the first half is tested on the second, which had no say in the choice, and
Holm's correction covers all tests together. So a part is named by chance in at most 1 of 20 searches,
however many parts there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import NDArray

from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import mean, wilson
from setpoint.stats.multiplicity import holm
from setpoint.stats.slice_tests import Kind, Sums, chances, p_value
from setpoint.stats.special import FloatArray, IntArray

BoolArray = NDArray[np.bool_]
Part = tuple[tuple[int, int], ...]
"""(dimension, code) of one or two dimensions."""

ALPHA = 0.05
"""Chance that a search of mere noise names anything."""
FEWEST_ROWS = 30
"""Rows of each half, effective, that a part must have to be tested; for recall, positive ones."""
MATERIAL = 0.2
"""What is less than a fifth worse than the rest is not named, however certain it is."""
CANDIDATES = 20
"""Parts that are tested a criterion."""
LARGEST = 0.5
"""Share of the rows above which a part is no part: the others would be."""
_LEAST_Z = 1.645


@dataclass(frozen=True, slots=True, eq=False)
class Criterion:
    """What makes a row bad. Make one with `share`, `missed`, `gap` or `size`.

    Attributes:
        name: Of the criterion.
        kind: `share` of bad rows; `missed`, the share of rows that should have been reached and were not;
            `gap` between what happened and its forecast; `size` of an error.
        losses: How bad each row is, shape (rows,); nan where the criterion says nothing of it.
        chances: `gap`: what rows of about the same score come to, 0 to 1; zeros otherwise.
        base: `gap`: the mean outcome, which a gap is held against; 0 otherwise.
    """

    name: str
    kind: Kind
    losses: FloatArray
    chances: FloatArray
    base: float = 0.0

    @classmethod
    def share(cls, name: str, losses: FloatArray) -> Self:
        """Return the criterion of a share of bad rows, such as wrong ones.

        Args:
            name: Of the criterion.
            losses: 1 bad, 0 good, nan not known, shape (rows,).
        """
        return cls(name, "share", losses, np.zeros(len(losses)))

    @classmethod
    def missed(cls, name: str, losses: FloatArray) -> Self:
        """Return the criterion of a recall.

        Args:
            name: Of the criterion.
            losses: 1 for a positive row that was missed, 0 for one that was reached, nan for all others.
        """
        return cls(name, "missed", losses, np.zeros(len(losses)))

    @classmethod
    def gap(cls, name: str, outcomes: FloatArray, scores: FloatArray, weights: FloatArray) -> Self:
        """Return the criterion of a gap between outcomes and their forecast, to either side.

        Args:
            name: Of the criterion.
            outcomes: 1, 0, or nan when not known, shape (rows,).
            scores: Forecast of the outcome, 0 to 1, nan when there is none.
            weights: Of each row.
        """
        losses = outcomes - scores
        known = ~np.isnan(losses)
        likely = np.zeros(len(losses))
        if not known.any():
            return cls(name, "gap", losses, likely)
        likely[known] = chances(outcomes[known], scores[known], weights[known])
        return cls(name, "gap", losses, likely, float(np.average(outcomes[known], weights=weights[known])))

    @classmethod
    def size(cls, name: str, losses: FloatArray) -> Self:
        """Return the criterion of a mean error, such as the absolute one: at least 0, nan when not known."""
        return cls(name, "size", losses, np.zeros(len(losses)))

    @property
    def signs(self) -> tuple[int, ...]:
        """To which sides a part can be bad: 1 above the rest, -1 below it."""
        return (1, -1) if self.kind == "gap" else (1,)

    def least(self, reference: FloatArray) -> FloatArray:
        """Return by how much a part must differ from a reference's mean loss to be worth a name."""
        if self.kind == "gap":
            return np.full_like(reference, MATERIAL * self.base)
        return MATERIAL * (1.0 - reference if self.kind == "missed" else reference)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a search.

    Attributes:
        codes: Value of each dimension, 0 and up, -1 for none, shape (dimensions, rows).
        weights: 1 / keep probability, positive, shape (rows,).
        confirming: Whether a row is in the half that confirms, shape (rows,). Rows that depend on each other
            (one user's) must be in the same half, and the choice must not depend on what happened.

    Raises:
        ValueError: Shapes differ.
    """

    codes: IntArray
    weights: FloatArray
    confirming: BoolArray

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit."""
        if self.codes.ndim != 2 or {self.codes.shape[1], len(self.weights)} != {len(self.confirming)}:  # noqa: PLR2004 — dimensions and rows
            msg = f"codes {self.codes.shape}, {len(self.weights)} weights and {len(self.confirming)} halves do not fit"
            raise ValueError(msg)

    def inside(self, part: Part) -> BoolArray:
        """Return which rows are in a part, shape (rows,)."""
        return _inside(self.codes, part)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A part held against the rest.

    Attributes:
        value: Of the part, from the confirming half: share of bad rows, recall, forecast less outcome, or mean
            size, with its 95 % interval.
        rest: Of all other rows, from the confirming half.
        confirming_rows: Rows that `value` rests on.
        bad: Weight of bad rows in both halves; for a gap how much more happened than was forecast.
        excess: The part of `bad` that would not be there if the part were like the rest.
    """

    value: Estimate
    rest: Estimate
    confirming_rows: int
    bad: float
    excess: float


@dataclass(frozen=True, slots=True)
class Named:
    """A part that was confirmed to do worse.

    Attributes:
        part: Its dimensions and values.
        criterion: By what.
        sign: 1, or -1 where a gap is on the other side: more was forecast than happened.
        comparisons: With the rest, by each criterion's name.
        p_adjusted: Holm's adjusted p-value of the test on the confirming half.
    """

    part: Part
    criterion: str
    sign: int
    comparisons: Mapping[str, Comparison]
    p_adjusted: float

    @property
    def comparison(self) -> Comparison:
        """By the criterion that it is named for."""
        return self.comparisons[self.criterion]


@dataclass(frozen=True, slots=True)
class Untested:
    """A value of a dimension with too few rows to say anything by a criterion.

    Attributes:
        part: Its dimension and value.
        criterion: By what.
        rows: Rows of it that count, of the half that has fewer; effective.
    """

    part: Part
    criterion: str
    rows: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        named: Confirmed parts; for each criterion the clearest first.
        untested: Single values with too few rows.
        tests: How many tests Holm's correction covers.
        looked_at: How many (part, criterion) had enough rows in the half that chooses.
    """

    named: tuple[Named, ...]
    untested: tuple[Untested, ...]
    tests: int
    looked_at: int


def search(rows: Rows, criteria: Sequence[Criterion]) -> Found:
    """Return the parts that do worse than the rest by some criterion.

    A pair of values is held against the rest and against what remains of either value without it, and must be
    worse than each: it is named only where it adds to both. A part that is only worse because it overlaps with
    a clearer one (all flights of one carrier go to one airport) is not named either.

    Args:
        rows: The rows and their halves.
        criteria: What makes a row bad.

    Returns:
        Named parts with the numbers of the confirming half, which had no say in choosing them. Assumes that rows
        of different halves are independent.

    Example:
        >>> codes = np.vstack([np.arange(8000) % 8, np.arange(8000) // 8 % 5])
        >>> wrong = (np.arange(8000) // 40 % 10 < np.where(codes[0] == 3, 4, 1)).astype(float)
        >>> rows = Rows(codes, np.ones(8000), np.arange(8000) // 400 % 2 == 1)
        >>> found = search(rows, [Criterion.share("error_rate", wrong)])
        >>> [(named.part, named.comparison.value.value, named.comparison.rest.value) for named in found.named]
        [(((0, 3),), 0.4, 0.1)]

    The tests share the chance of a false name by how bad their parts looked on the half that chose: the first
    of a criterion gets four times as much of it as the second, nine times as much as the third, and so on.

    Source: Holm (1979) for the family of tests; searching one half and testing on the other is Cox (1975), "A
    note on data-splitting for the evaluation of significance levels", Biometrika 62.
    """
    untested: list[Untested] = []
    tests: list[_Test] = []
    looked_at = 0
    halves = {c.name: (_half(rows, c, confirming=False), _half(rows, c, confirming=True)) for c in criteria}
    for criterion in criteria:
        untested += _too_small(criterion, halves[criterion.name])
        seen, chosen = _candidates(criterion, halves[criterion.name][0])
        looked_at += seen
        for place, part, sign in chosen:
            test = _test(criterion, halves[criterion.name][1], part, sign, place)
            tests += [test] if test is not None else []
    weights = np.array([test.weight for test in tests])
    adjusted = holm(np.array([test.p_value for test in tests]), weights)
    confirmed = [(test, float(p)) for test, p in zip(tests, adjusted, strict=True) if p <= ALPHA and test.is_material]
    named = [
        Named(
            test.part,
            test.criterion.name,
            test.sign,
            {criterion.name: _compare(criterion, halves[criterion.name], test.part) for criterion in criteria},
            p,
        )
        for test, p in _not_explained(confirmed, float(weights.sum()))
    ]
    return Found(tuple(named), tuple(untested), len(tests), looked_at)


@dataclass(frozen=True, eq=False)
class _Half:
    """One half's rows that a criterion says something of."""

    codes: IntArray
    columns: FloatArray
    counts: tuple[int, ...]
    tables: dict[tuple[int, ...], Sums] = field(default_factory=dict[tuple[int, ...], Sums])

    @cached_property
    def alike(self) -> tuple[int, ...]:
        """For each column the first one that is equal to it: many are when rows weigh the same."""
        found: list[int] = []
        for n, column in enumerate(self.columns):
            found.append(next((m for m in range(n) if found[m] == m and np.array_equal(self.columns[m], column)), n))
        return tuple(found)

    @cached_property
    def total(self) -> Sums:
        """The sums of all rows."""
        return Sums(self.columns.sum(axis=1))

    def sums(self, inside: BoolArray) -> Sums:
        """Return the sums of some rows."""
        return Sums(self.columns[:, inside].sum(axis=1))

    def cell(self, part: Part) -> Sums:
        """Return the sums of a part."""
        table = self.table(tuple(d for d, _ in part))
        return Sums(table.values[(slice(None), *(code for _, code in part))])

    def table(self, dimensions: tuple[int, ...]) -> Sums:
        """Return the sums of each value of a dimension, or of each pair of values of two."""
        if dimensions not in self.tables:
            self.tables[dimensions] = Sums(self._counted(dimensions))
        return self.tables[dimensions]

    def _counted(self, dimensions: tuple[int, ...]) -> FloatArray:
        sizes = tuple(self.counts[d] + 1 for d in dimensions)
        place = self.codes[dimensions[0]] + 1
        for d in dimensions[1:]:
            place = place * (self.counts[d] + 1) + self.codes[d] + 1
        length = int(np.prod(sizes))
        counted = {n: np.bincount(place, self.columns[n], length) for n in set(self.alike)}
        table = np.vstack([counted[n] for n in self.alike]).astype(np.float64).reshape(-1, *sizes)
        return table[(slice(None), *(slice(1, None) for _ in sizes))]  # the first place is that of no value


def _half(rows: Rows, criterion: Criterion, *, confirming: bool) -> _Half:
    chosen = np.flatnonzero(~np.isnan(criterion.losses) & (rows.confirming == confirming))
    columns = Sums.columns(criterion.losses[chosen], rows.weights[chosen], criterion.chances[chosen])
    counts = tuple(int(codes.max(initial=-1)) + 1 for codes in rows.codes)
    return _Half(np.ascontiguousarray(rows.codes[:, chosen]), columns, counts)


def _too_small(criterion: Criterion, halves: tuple[_Half, _Half]) -> Iterator[Untested]:
    for d in range(len(halves[0].counts)):
        have = np.minimum(*(half.table((d,)).size(criterion.kind, half.total) for half in halves))
        yield from (
            Untested(((d, int(c)),), criterion.name, float(have[c])) for c in np.flatnonzero(have < FEWEST_ROWS)
        )


def _candidates(criterion: Criterion, half: _Half) -> tuple[int, list[tuple[int, Part, int]]]:
    """Return how many parts have enough rows, and those that look worst: place, part and to which side."""
    singles = [half.table((d,)) for d in range(len(half.counts))]
    total = half.total
    looked_at = 0
    scored: list[tuple[float, Part, int]] = []
    wholes: list[tuple[tuple[int, ...], Sums, list[Sums]]] = [
        ((d,), cell, [total - cell]) for d, cell in enumerate(singles)
    ]
    for a, b in combinations(range(len(singles)), 2):
        cell = half.table((a, b))
        wholes.append(((a, b), cell, [total - cell, singles[a].along(0) - cell, singles[b].along(1) - cell]))
    for dimensions, cell, references in wholes:
        sizes = [group.size(criterion.kind, total) >= FEWEST_ROWS for group in (cell, *references)]
        enough = np.logical_and.reduce([cell.weight <= LARGEST * total.weight, *sizes])
        looked_at += int(np.count_nonzero(enough))
        for sign in criterion.signs:
            z = np.where(enough, np.min([_z(criterion, cell, r, sign) for r in references], axis=0), 0.0)
            scored += [
                (float(z[place]), tuple(zip(dimensions, map(int, place), strict=True)), sign)
                for place in map(tuple, np.argwhere(z >= _LEAST_Z))
            ]
    scored.sort(key=lambda item: (-item[0], item[1]))
    chosen: list[tuple[int, Part, int]] = []
    for side in criterion.signs:
        worst = [part for _, part, sign in scored if sign == side][:CANDIDATES]
        chosen += [(place, part, side) for place, part in enumerate(worst, start=1)]
    return looked_at, chosen


def _z(criterion: Criterion, cell: Sums, reference: Sums, sign: int) -> FloatArray:
    """Return how many standard errors each cell is worse than its reference; 0 where that is not material."""
    difference = sign * (cell.mean - reference.mean)
    spread = np.sqrt(cell.variance(criterion.kind, reference) + reference.variance(criterion.kind, reference))
    is_material = difference >= criterion.least(reference.mean)
    if criterion.kind == "gap":  # one that is only smaller than the rest's is no fault
        is_material &= sign * cell.mean >= criterion.least(cell.mean)
    return np.divide(difference, spread, out=np.zeros_like(difference), where=is_material & (spread > 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Test:
    """One test on the confirming half; the weight says how bad its part looked on the other, next to others."""

    criterion: Criterion
    half: _Half
    part: Part
    sign: int
    p_value: float
    is_material: bool
    z: float
    weight: float


def _test(criterion: Criterion, half: _Half, part: Part, sign: int, place: int) -> _Test | None:
    """Test a part against the rest and, a pair, against what remains of each of its values; None if too small."""
    cell = half.cell(part)
    references = [half.total - cell]
    if len(part) > 1:
        references += [half.cell((value,)) - cell for value in part]
    if any(float(group.size(criterion.kind, half.total)) < FEWEST_ROWS for group in (cell, *references)):
        return None
    p = max(p_value(criterion.kind, cell, reference, sign) for reference in references)
    z = [float(_z(criterion, cell, reference, sign)) for reference in references]
    return _Test(criterion, half, part, sign, p, min(z) > 0.0, z[0], 1.0 / place**2)


def _not_explained(confirmed: list[tuple[_Test, float]], weight: float) -> list[tuple[_Test, float]]:
    """Return the tests whose part is still worse without the rows of clearer parts, the clearest first.

    A pair was held against its own values already.
    """
    kept: list[tuple[_Test, float]] = []
    for test, p in sorted(confirmed, key=lambda item: -item[0].z):
        clearer = [
            other.part
            for other, _ in kept
            if other.criterion is test.criterion and other.sign == test.sign and not set(other.part) < set(test.part)
        ]
        if not clearer or _is_worse_without(test, clearer, weight):
            kept.append((test, p))
    return kept


def _is_worse_without(test: _Test, clearer: list[Part], weight: float) -> bool:
    outside = ~np.logical_or.reduce([_inside(test.half.codes, part) for part in clearer])
    inside = _inside(test.half.codes, test.part)
    cell, rest = test.half.sums(inside & outside), test.half.sums(~inside & outside)
    if min(float(group.size(test.criterion.kind, test.half.total)) for group in (cell, rest)) < FEWEST_ROWS:
        return False
    is_material = float(_z(test.criterion, cell, rest, test.sign)) > 0.0
    return is_material and p_value(test.criterion.kind, cell, rest, test.sign) * weight <= ALPHA * test.weight


def _compare(criterion: Criterion, halves: tuple[_Half, _Half], part: Part) -> Comparison:
    """Return a part's value and the rest's, whether or not the part was named by this criterion."""
    (first, first_rest), (second, second_rest) = ((half.cell(part), half.total - half.cell(part)) for half in halves)
    bad, weight = float(first.loss + second.loss), float(first.weight + second.weight)
    rest_weight = float(first_rest.weight + second_rest.weight)
    rest_mean = float(first_rest.loss + second_rest.loss) / rest_weight if rest_weight > 0.0 else 0.0
    value, rest = _estimate(criterion, second, second_rest), _estimate(criterion, second_rest, second)
    return Comparison(value, rest, int(second.rows), bad, bad - weight * rest_mean)


def _estimate(criterion: Criterion, sums: Sums, others: Sums) -> Estimate:
    if sums.rows == 0:
        return Estimate.unknown("no outcome in the half of the rows that confirms")
    if criterion.kind == "share":
        return wilson(float(sums.loss), float(sums.weight), float(sums.effective(sums.mean, others)))
    if criterion.kind == "missed":
        reached = max(float(sums.weight - sums.loss), 0.0)
        return wilson(reached, float(sums.weight), float(sums.effective(sums.mean, others)))
    sign = -1.0 if criterion.kind == "gap" else 1.0  # a gap is told as forecast less outcome
    return mean(sign * float(sums.loss), float(sums.values[4]), float(sums.weight), float(sums.values[2]))


def _inside(codes: IntArray, part: Part) -> BoolArray:
    return np.logical_and.reduce([codes[d] == code for d, code in part])
