"""The search for parts that do worse: its tests against exact ones, what it names, and that noise names nothing."""

from __future__ import annotations

import doctest
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from setpoint.stats import slice_tests, slices
from setpoint.stats.slice_tests import Kind, Sums, p_value
from setpoint.stats.slices import FEWEST_ROWS, Criterion, Part, Rows, search

Floats = NDArray[np.float64]


def sums(losses: Floats, weights: Floats | None = None, likely: Floats | None = None) -> Sums:
    ones, zeros = np.ones(len(losses)), np.zeros(len(losses))
    columns = Sums.columns(losses, ones if weights is None else weights, zeros if likely is None else likely)
    return Sums(columns.sum(axis=1))


def shares(bad: int, size: int) -> Floats:
    return (np.arange(size) < bad).astype(np.float64)


@pytest.mark.parametrize("kind", ["share", "missed"])
@pytest.mark.parametrize(
    ("bad", "size", "other_bad", "other_size"),
    [(0, 30, 5, 300), (3, 30, 0, 40), (9, 30, 30, 300), (30, 30, 200, 300), (400, 2000, 9000, 60_000), (5, 40, 5, 40)],
)
def test_shares_are_tested_as_fisher_does(kind: Kind, bad: int, size: int, other_bad: int, other_size: int) -> None:
    found = p_value(kind, sums(shares(bad, size)), sums(shares(other_bad, other_size)), 1)
    table = [[bad, size - bad], [other_bad, other_size - other_bad]]
    assert found == pytest.approx(stats.fisher_exact(table, alternative="greater")[1], rel=1e-6)


def test_rows_that_all_weigh_the_same_are_as_many_rows_whatever_they_weigh() -> None:
    for kind in ("share", "gap", "size"):
        mine, others = shares(12, 50) - 0.1, shares(60, 600) - 0.1
        if kind == "share":
            mine, others = mine + 0.1, others + 0.1
        even = [sums(x, np.full(len(x), w), np.full(len(x), 0.15)) for w in (1.0, 4.0) for x in (mine, others)]
        assert p_value(kind, even[0], even[1], 1) == pytest.approx(p_value(kind, even[2], even[3], 1), rel=1e-9)


def test_rows_that_weigh_differently_are_fewer() -> None:
    random = np.random.default_rng(0)
    weights = random.choice([1.0, 20.0], 400)
    bad = (random.random(400) < 0.3).astype(np.float64)
    rest = sums(shares(400, 4000))
    alike = p_value("share", sums(np.repeat(bad, 2)[:400]), rest, 1)
    assert p_value("share", sums(bad, weights), rest, 1) > alike


def test_a_gap_is_tested_about_as_the_exact_distribution_of_the_outcomes_says() -> None:
    random = np.random.default_rng(1)
    for scale, rows in ((0.02, 400), (0.1, 300), (0.9, 60)):
        chances = np.clip(random.beta(1.0, 3.0, rows) * scale * 4, 0.0005, 0.9995)
        exact = np.ones(1)
        for chance in chances:
            exact = np.convolve(exact, [1.0 - chance, chance])
        rest = sums(np.zeros(10**6), None, np.zeros(10**6))
        for sign in (1, -1):
            for events in range(rows):
                tail = float(exact[events:].sum() if sign > 0 else exact[: events + 1].sum())
                if 1e-7 < tail < 0.4:
                    losses = shares(events, rows) - chances
                    found = p_value("gap", sums(losses, None, chances), rest, sign)
                    assert 0.6 < np.log(found) / np.log(tail) < 1.25, (scale, sign, events, found, tail)
                    assert found > 0.75 * tail or tail < 1e-4


def test_sizes_are_tested_as_welch_does() -> None:
    random = np.random.default_rng(2)
    for shift in (0.0, 0.3, 0.8):
        mine, others = random.exponential(1.0 + shift, 80), random.exponential(1.0, 900)
        expected = stats.ttest_ind(mine, others, equal_var=False, alternative="greater")[1]
        assert p_value("size", sums(mine), sums(others), 1) == pytest.approx(expected, rel=0.05)


def test_equal_losses_are_no_evidence() -> None:
    assert p_value("size", sums(np.ones(50)), sums(np.ones(500)), 1) == 1.0


def rows_of(codes: NDArray[np.int64], random: np.random.Generator, weights: Floats | None = None) -> Rows:
    count = codes.shape[1]
    return Rows(codes, np.ones(count) if weights is None else weights, random.random(count) < 0.5)


def named(rows: Rows, criteria: list[Criterion]) -> dict[str, set[Part]]:
    found = search(rows, criteria)
    return {c.name: {one.part for one in found.named if one.criterion == c.name} for c in criteria}


def test_a_pair_is_named_and_not_its_values_which_it_explains() -> None:
    random = np.random.default_rng(3)
    codes = random.integers(0, 5, (4, 60_000))
    pair = (codes[1] == 2) & (codes[3] == 4)
    wrong = (random.random(60_000) < np.where(pair, 0.4, 0.1)).astype(np.float64)
    # A value of the pair has 1.6 times the errors of the rest: a fifth more, and sure, but only through the pair.
    assert named(rows_of(codes, random), [Criterion.share("e", wrong)]) == {"e": {((1, 2), (3, 4))}}


def test_a_pair_that_adds_nothing_to_its_value_is_not_named() -> None:
    random = np.random.default_rng(4)
    codes = random.integers(0, 5, (4, 60_000))
    wrong = (random.random(60_000) < np.where(codes[1] == 2, 0.3, 0.1)).astype(np.float64)
    assert named(rows_of(codes, random), [Criterion.share("e", wrong)]) == {"e": {((1, 2),)}}


def test_a_value_that_only_overlaps_with_a_worse_one_is_not_named() -> None:
    random = np.random.default_rng(5)
    codes = random.integers(0, 10, (2, 60_000))
    codes[1] = np.where((codes[0] == 3) & (random.random(60_000) < 0.6), 7, codes[1])
    wrong = (random.random(60_000) < np.where(codes[0] == 3, 0.3, 0.1)).astype(np.float64)
    rows = rows_of(codes, random)
    seven, others = wrong[codes[1] == 7].mean(), wrong[codes[1] != 7].mean()
    assert seven > 1.3 * others
    assert named(rows, [Criterion.share("e", wrong)]) == {"e": {((0, 3),)}}


def test_low_recall_and_gaps_are_found_to_their_side() -> None:
    random = np.random.default_rng(6)
    codes = random.integers(0, 8, (3, 80_000))
    truth = random.beta(1.0, 3.0, 80_000)
    outcomes = (random.random(80_000) < truth).astype(np.float64)
    scores = np.where(codes[0] == 1, truth * 0.4, np.where(codes[2] == 6, np.minimum(truth * 1.6, 1.0), truth))
    missed = np.where(outcomes == 1.0, (scores < np.quantile(scores, 0.8)).astype(np.float64), np.nan)
    rows = rows_of(codes, random)
    found = search(rows, [Criterion.missed("recall", missed), Criterion.gap("gap", outcomes, scores, rows.weights)])
    assert {(one.criterion, one.part, one.sign) for one in found.named} == {
        ("recall", ((0, 1),), 1),
        ("gap", ((0, 1),), 1),
        ("gap", ((2, 6),), -1),
    }
    low = next(one for one in found.named if one.criterion == "recall")
    inside = (codes[0] == 1) & (outcomes == 1.0)
    assert low.comparison.bad == missed[inside].sum()
    assert low.comparison.value.value == pytest.approx(1.0 - missed[inside & rows.confirming].mean())
    gap = low.comparisons["gap"].value
    assert gap.value == pytest.approx((scores - outcomes)[(codes[0] == 1) & rows.confirming].mean())
    assert gap.high is not None
    assert gap.high < 0.0


def test_larger_errors_of_a_regression_are_found() -> None:
    random = np.random.default_rng(7)
    codes = random.integers(0, 8, (3, 40_000))
    errors = np.abs(random.standard_t(4, 40_000)) * np.where(codes[1] == 5, 1.5, 1.0)
    assert named(rows_of(codes, random), [Criterion.size("mae", errors)]) == {"mae": {((1, 5),)}}


def test_sampled_rows_stand_for_those_that_were_not_kept() -> None:
    random = np.random.default_rng(18)
    codes = random.integers(0, 8, (3, 200_000))
    wrong = (random.random(200_000) < np.where(codes[1] == 5, 0.2, 0.1)).astype(np.float64)
    keep = np.where(wrong == 1.0, 1.0, 0.2)  # errors are always kept
    kept = random.random(200_000) < keep
    rows = rows_of(codes[:, kept], random, 1.0 / keep[kept])
    found = search(rows, [Criterion.share("e", wrong[kept])])
    assert [one.part for one in found.named] == [((1, 5),)]
    value = found.named[0].comparison.value
    assert value.low is not None
    assert value.high is not None
    assert value.low < 0.2 < value.high
    assert found.named[0].comparison.bad == wrong[codes[1] == 5].sum()


@pytest.mark.parametrize("rate", [0.2, 0.02])
@pytest.mark.parametrize("weighted", [False, True])
def test_noise_names_nothing_in_nineteen_of_twenty_searches(rate: float, *, weighted: bool) -> None:
    wrong = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        codes = random.integers(0, 6, (6, 5000))
        codes[1] = np.where(random.random(5000) < 0.8, codes[0], codes[1])
        scores = random.beta(2.0, 2.0 / rate - 2.0, 5000)
        outcomes = (random.random(5000) < scores).astype(np.float64)
        decisions = (scores > np.quantile(scores, 0.9)).astype(np.float64)
        keep = np.where(decisions == outcomes, 0.3, 1.0) if weighted else np.ones(5000)
        kept = random.random(5000) < keep
        rows = rows_of(codes[:, kept], random, 1.0 / keep[kept])
        missed = np.where(outcomes == 1.0, 1.0 - decisions, np.nan)[kept]
        found = search(
            rows,
            [
                Criterion.missed("recall", missed),
                Criterion.share("error", np.abs(decisions - outcomes)[kept]),
                Criterion.gap("gap", outcomes[kept], scores[kept], rows.weights),
            ],
        )
        wrong += bool(found.named)
    assert wrong <= 2


def test_few_rows_are_not_tested_and_told_apart() -> None:
    codes = np.array([[0] * 400 + [1] * 50])
    outcomes = np.ones(450)
    rows = Rows(codes, np.ones(450), np.arange(450) % 2 == 1)
    found = search(rows, [Criterion.share("e", np.where(codes[0] == 1, 1.0, 0.0))])
    assert found.named == ()
    assert [(one.part, one.rows) for one in found.untested] == [(((0, 1),), 25.0)]
    assert found.untested[0].rows < FEWEST_ROWS
    nothing = search(rows, [Criterion.gap("gap", outcomes, outcomes * 0.5, rows.weights)])
    assert (nothing.named, nothing.tests, nothing.looked_at) == ((), 0, 0)


@pytest.mark.parametrize("count", [0, 1])
def test_no_rows_are_no_evidence(count: int) -> None:
    rows = Rows(np.zeros((2, count), np.int64), np.ones(count), np.zeros(count, bool))
    criteria = [
        Criterion.share("e", np.full(count, np.nan)),
        Criterion.gap("g", np.full(count, np.nan), np.zeros(count), rows.weights),
    ]
    found = search(rows, criteria)
    assert (found.named, found.tests) == ((), 0)


def test_a_row_without_a_value_is_in_no_part() -> None:
    random = np.random.default_rng(9)
    codes = np.where(random.random((1, 20_000)) < 0.3, -1, random.integers(0, 5, (1, 20_000)))
    wrong = (random.random(20_000) < np.where(codes[0] == -1, 0.5, 0.1)).astype(np.float64)
    assert named(rows_of(codes, random), [Criterion.share("e", wrong)]) == {"e": set()}


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Rows(np.zeros((1, 3), np.int64), np.ones(2), np.zeros(3, bool))


@pytest.mark.parametrize("module", [slices, slice_tests])
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert (found.attempted > 0, found.failed) == (True, 0)
