"""What a column cannot know: too strong, equal to what only outcomes tell, ahead of its time; and never by chance."""

from __future__ import annotations

import numpy as np
import pytest

from setpoint.stats.estimate import Estimate
from setpoint.stats.leakage import (
    STRONG,
    averages,
    knows_ahead,
    missing_tells,
    own_averages,
    ranks,
    repeats,
    scaled_with_both,
    stand_out,
    strength,
    too_calibrated,
)

NO_GROUPS = np.zeros(5000, dtype=np.int64)


def random() -> np.random.Generator:
    return np.random.default_rng(1)


def test_strength_does_not_care_for_direction_scale_or_missing_values() -> None:
    outcomes = (random().random(2000) < 0.3).astype(float)
    values = outcomes + random().normal(0, 1, 2000)
    first = strength(values, outcomes, is_binary=True)
    turned = strength(-np.exp(values), outcomes, is_binary=True)
    assert first.value == pytest.approx(turned.value)
    assert (first.low, first.high) == pytest.approx((turned.low, turned.high))
    holes = np.where(np.arange(2000) % 5 == 0, np.nan, values)
    assert strength(holes, outcomes, is_binary=True).value == pytest.approx(first.value, abs=0.03)


@pytest.mark.parametrize("is_binary", [True, False])
def test_the_interval_of_a_strength_covers_what_more_rows_show(*, is_binary: bool) -> None:
    generator = random()

    def draw(rows: int) -> tuple[np.ndarray, np.ndarray]:
        latent = generator.normal(size=rows)
        values = latent + generator.normal(size=rows)
        return values, (latent > 0.5).astype(float) if is_binary else latent

    truth = strength(*draw(400_000), is_binary=is_binary).value or 0.0
    covered = 0
    for _ in range(400):
        found = strength(*draw(150), is_binary=is_binary)
        covered += (found.low or 0.0) <= truth <= (found.high or 0.0)
    assert 0.93 <= covered / 400 <= 0.98


@pytest.mark.parametrize("is_binary", [True, False])
def test_a_constant_column_has_no_strength_and_few_rows_none_that_is_known(*, is_binary: bool) -> None:
    outcomes = np.tile([0.0, 1.0], 50)
    assert strength(np.ones(100), outcomes, is_binary=is_binary).value == 0.0
    assert not strength(outcomes[:40], outcomes[:40], is_binary=is_binary).is_known
    assert not strength(np.full(100, np.nan), outcomes, is_binary=is_binary).is_known


def test_nearly_perfect_is_nearly_as_sure_as_perfect() -> None:
    outcomes = np.repeat([0.0, 1.0], 200)
    perfect = strength(np.arange(400.0), outcomes, is_binary=True)
    nearly = strength(np.where(np.arange(400) == 200, 198.5, np.arange(400.0)), outcomes, is_binary=True)
    assert 1.0 > (nearly.value or 0.0) > 0.999
    assert (nearly.low or 0.0) == pytest.approx(perfect.low, abs=0.001)


def test_equal_values_share_their_rank() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]


def test_a_rare_category_is_drawn_to_the_average_and_an_unknown_one_is_it() -> None:
    categories = np.array([0.0] * 1000 + [1.0, np.nan])
    outcomes = np.array([0.0] * 1000 + [1.0, 1.0])
    often, once, never, missing = averages(categories, outcomes, np.array([0.0, 1.0, 7.0, np.nan]))
    assert often < 0.01 < once < 0.11
    assert never == pytest.approx(outcomes.mean())
    assert missing == pytest.approx(once)


def interval(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value, value - half, min(value + half, 1.0))


def test_one_or_two_far_above_the_others_stand_out_but_not_the_top_of_a_crowd() -> None:
    assert stand_out([interval(0.2), interval(0.95), interval(0.3)]) == [1]
    assert stand_out([interval(x) for x in (0.2, 0.97, 0.1, 0.95, 0.2, 0.1)]) == [1, 3]
    assert stand_out([interval(x) for x in (0.95, 0.93, 0.9, 0.88, 0.7)]) == []
    assert stand_out([interval(STRONG - 0.01), interval(0.0)]) == []
    assert stand_out([interval(0.99)]) == []
    assert stand_out([interval(0.99), Estimate.unknown("no rows")]) == []


def test_noise_never_stands_out() -> None:
    generator = random()
    for _ in range(300):
        outcomes = (generator.random(60) < 0.4).astype(float)
        found = [strength(generator.normal(size=60), outcomes, is_binary=True) for _ in range(20)]
        assert stand_out(found) == []


def test_missing_only_when_positive_is_pure_and_missing_at_random_tells_nothing() -> None:
    outcomes = (random().random(4000) < 0.2).astype(float)
    planted = ((outcomes == 1.0) & (random().random(4000) < 0.5)).astype(float)
    told = missing_tells(planted, outcomes, is_binary=True)
    assert told.is_missing
    assert (told.purity.low or 0.0) > 0.99
    by_chance = (np.random.default_rng(2).random(4000) < 0.3).astype(float)
    told = missing_tells(by_chance, outcomes, is_binary=True)
    assert (told.purity.high or 1.0) < 0.3
    assert (told.strength.high or 1.0) < 0.1


def encoded(rows: int, seed: int, groups: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return groups, outcomes of the rows to judge, and other outcomes of the same groups."""
    generator = np.random.default_rng(seed)
    rates = generator.beta(4, 12, groups)
    place = generator.integers(0, groups, rows)
    return place, *((generator.random(rows) < rates[place]).astype(float) for _ in range(2))  # type: ignore[return-value]


def rates_of(place: np.ndarray, outcomes: np.ndarray, prior: float = 0.0) -> np.ndarray:
    sums = np.bincount(place, weights=outcomes) + prior * 0.25
    return (sums / (np.bincount(place) + prior))[place]


def test_an_average_of_its_own_outcomes_is_told_from_one_of_other_outcomes() -> None:
    place, own, other = encoded(6000, seed=3)
    assert own_averages(rates_of(place, own), own) == 1.0
    assert own_averages(rates_of(place, other), own) < 0.1
    assert own_averages(np.arange(6000.0), own) == 0.0


def test_only_what_was_made_from_the_outcomes_is_too_calibrated() -> None:
    place, own, _ = encoded(6000, seed=4)
    smoothed = too_calibrated(rates_of(place, own, prior=10.0), own)
    assert (smoothed.high or 1.0) < 1.0
    assert (smoothed.value or 1.0) < 0.5
    for seed in range(200):
        place, own, other = encoded(3000, seed=seed)
        honest = too_calibrated(rates_of(place, other, prior=10.0), own)
        assert (honest.high or 0.0) >= 1.0, seed


def test_leaving_the_own_row_out_gives_the_outcome_away() -> None:
    place, own, other = encoded(6000, seed=5)
    counts = np.bincount(place)[place]
    left_out = (np.bincount(place, weights=own)[place] - own) / (counts - 1)
    found = repeats(left_out, own)
    assert found.explained > 0.9
    assert found.turns > 50
    assert repeats(rates_of(place, other), own).explained < 0.2
    rising = np.repeat(np.arange(10.0), 100)
    assert repeats(rising, (rising > 4).astype(float)).turns == 1


def clustered(rows: int) -> np.ndarray:
    """Return outcomes whose rate wanders, as weather does."""
    generator = random()
    wander = np.convolve(generator.normal(size=rows + 200), np.ones(200) / 14, mode="valid")[:rows]
    return (generator.random(rows) < 1 / (1 + np.exp(-wander))).astype(float)


def rolled(outcomes: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return the mean of the rows from `start` to before `end`, counted from each row."""
    return np.mean([np.roll(outcomes, -shift) for shift in range(start, end)], axis=0)


@pytest.mark.parametrize(("start", "end"), [(1, 2), (1, 6), (1, 21), (5, 15), (-20, 21), (0, 40)])
def test_means_of_later_outcomes_are_known_ahead(start: int, end: int) -> None:
    outcomes = clustered(5000)
    found = knows_ahead(rolled(outcomes, start, end), outcomes, NO_GROUPS)
    assert (found.share.low or 0.0) > 0.5
    assert (found.share.value or 0.0) > found.present


@pytest.mark.parametrize("back", [1, 5, 20, 64, 200])
def test_means_of_earlier_outcomes_and_their_causes_are_not(back: int) -> None:
    outcomes = clustered(5000)
    assert (knows_ahead(rolled(outcomes, -back, 0), outcomes, NO_GROUPS).share.value or 0.0) < 0.2
    generator = random()
    wander = np.convolve(generator.normal(size=5200), np.ones(200) / 14, mode="valid")[:5000]  # the true log odds
    assert (knows_ahead(wander, outcomes, NO_GROUPS).share.value or 0.0) < 0.5


def test_what_comes_later_is_that_of_the_same_group() -> None:
    groups = np.repeat(np.arange(50), 100)
    outcomes = clustered(5000)
    later = np.concatenate([np.append(part[1:], 0.0) for part in np.split(outcomes, 50)])
    assert (knows_ahead(later, outcomes, groups).share.value or 0.0) > 0.99
    assert not knows_ahead(later, outcomes, np.arange(5000)).share.is_known
    assert not knows_ahead(later[:50], outcomes[:50], groups[:50]).share.is_known


def test_scaling_with_the_test_rows_is_seen_and_scaling_without_them_is_not() -> None:
    raw = random().normal(50, 9, 1000) + np.linspace(0, 10, 1000)
    train, test = raw[:700], raw[700:]
    scaled = (raw - raw.mean()) / raw.std(ddof=1)
    assert scaled_with_both(scaled[:700], scaled[700:]) == "mean and deviation"
    ranged = (raw - raw.min()) / (raw.max() - raw.min())
    assert scaled_with_both(ranged[:700], ranged[700:]) == "range"
    mean, deviation = train.mean(), train.std()
    assert scaled_with_both((train - mean) / deviation, (test - mean) / deviation) == ""
    shares = random().integers(0, 101, 1000) / 100  # reaches 0 and 1 honestly
    assert scaled_with_both(shares[:700], shares[700:]) == ""
