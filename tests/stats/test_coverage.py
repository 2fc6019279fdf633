"""The short form of `bench/coverage.py`: intervals hold the truth as often as they say."""

import numpy as np
import pytest
from bench.coverage import (
    AMOUNTS,
    COSTS,
    DECISIONS,
    ERRORS,
    MEAN_FROM,
    MEAN_TO,
    MINIMUM,
    NO_UPPER_LIMIT,
    SCORES,
    Tally,
    World,
    measured,
)

SEED = 3
FAMILIES = {"decisions": (DECISIONS, 500), "scores": (SCORES, 250), "errors": (ERRORS, 800), "costs": (COSTS, 800)}
HEAVIEST = "Pareto, alpha 1.5"


def by_metric(worlds: list[World], rows: int, windows: int) -> dict[str, list[Tally]]:
    """Return the tallies of each metric over the worlds in which it is mostly known."""
    found: dict[str, list[Tally]] = {}
    for world in worlds:
        for metric, tally in measured(world, rows, windows, SEED).items():
            assert tally.windows == windows
            if tally.counts:
                found.setdefault(metric, []).append(tally)
    return found


@pytest.mark.parametrize("rows", [200, 2_000])
@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_hold_the_truth_as_often_as_they_say(family: str, rows: int) -> None:
    worlds, windows = FAMILIES[family]
    for metric, tallies in by_metric(worlds, rows, windows).items():
        coverages = [tally.coverage for tally in tallies]
        mean_error = 3.0 * np.sqrt(0.05 * 0.95 / sum(tally.known for tally in tallies))
        worst_error = 3.0 * np.sqrt(MINIMUM * (1.0 - MINIMUM) / min(tally.known for tally in tallies))
        assert np.mean(coverages) >= MEAN_FROM - mean_error, metric
        assert metric in NO_UPPER_LIMIT or np.mean(coverages) <= MEAN_TO + mean_error, metric
        assert min(coverages) >= MINIMUM - worst_error, metric


@pytest.mark.parametrize("world", AMOUNTS, ids=lambda world: world.name)
def test_coverage_of_heavy_tailed_money_is_what_the_documentation_states(world: World) -> None:
    tally = measured(world, 200, 800, SEED)["mean amount"]
    assert tally.counts
    if world.name == HEAVIEST:
        assert 0.78 <= tally.coverage <= 0.88
    else:
        assert 0.92 <= tally.coverage <= 0.985


def test_an_unknown_answer_is_never_counted_as_covered() -> None:
    rare = next(world for world in SCORES if world.name == "1 in 12, weak")
    tallies = measured(rare, 60, 200, SEED)
    assert tallies["AUC"].known < tallies["AUC"].windows == 200
    assert tallies["AUC"].covered <= tallies["AUC"].known
