"""Units get versions by their shares, always the same one, and a ramp only adds; what cannot be followed is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.stats import chisquare

from setpoint.core.errors import DeclarationError
from setpoint.core.route_plan import BUCKETS, Cascade, Limits, Route, RoutePlan, Strategy, arm_of, bucketing, shadows_of

UNITS = [f"user-{n}" for n in range(20_000)]


def plan(*shares: tuple[str, float], stable: str = "v1", salt: str = "a", strategy: Strategy = "ab") -> RoutePlan:
    return RoutePlan("m", 1, Route(strategy, shares, stable=stable), salt)


def versions(one: RoutePlan) -> list[str]:
    return [arm_of(one, unit).version for unit in UNITS]


def test_shares_are_kept_and_said() -> None:
    one = plan(("v2", 0.2), ("v3", 0.3), ("v1", 0.5))
    found = versions(one)
    counts = [found.count(name) for name in ("v2", "v3", "v1")]
    assert chisquare(counts, np.array([0.2, 0.3, 0.5]) * len(UNITS)).pvalue > 0.001
    assert [(arm.version, arm.role, arm.share) for arm in one.arms] == [
        ("v2", "candidate", 0.2),
        ("v1", "stable", 0.5),
        ("v3", "candidate", 0.3),
    ]
    assert one.arms[-1].end == BUCKETS


def test_buckets_are_uniform_and_unrelated_between_salts() -> None:
    both = [np.array([bucketing(salt)(u) for u in UNITS]) for salt in "ab"]
    for found in both:
        assert chisquare(np.bincount(found // 500, minlength=20)).pvalue > 0.001
    # CRC-32 with a salt in front would fail this: its two hashes differ by the same bits in every unit.
    table = np.histogram2d(both[0], both[1], bins=10)[0]
    assert chisquare(table.ravel()).pvalue > 0.001


@given(low=some.floats(0.001, 0.9), more=some.floats(0.0, 1.0), other=some.booleans())
def test_a_candidate_that_grows_takes_units_from_the_stable_version_only(
    low: float, more: float, *, other: bool
) -> None:
    rest = 0.05 if other else 0.0
    high = low + more * (0.94 - low)
    others = [("v3", rest)] if other else []
    before = plan(("v2", low), *others, ("v1", 1.0 - rest - low), salt="ramp")
    after = plan(("v2", high), *others, ("v1", 1.0 - rest - high), salt="ramp")
    for unit in UNITS[:300]:
        first, second = arm_of(before, unit).version, arm_of(after, unit).version
        assert first == second or (first, second) == ("v1", "v2")


def test_every_process_draws_a_unit_alike() -> None:
    code = (
        "from setpoint.core.route_plan import *;"
        "p = RoutePlan('m', 1, Route('ab', (('v2', .3), ('v1', .7)), stable='v1'), 'a');"
        "print([arm_of(p, f'user-{n}').version for n in range(20)])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(versions(plan(("v2", 0.3), ("v1", 0.7)))[:20])


def test_shadows_are_drawn_on_their_own() -> None:
    route = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 0.1), ("v3", 1.0)))
    found = [shadows_of(RoutePlan("m", 1, route, "a"), unit) for unit in UNITS]
    assert all("v3" in one for one in found)
    assert sum("v2" in one for one in found) == pytest.approx(0.1 * len(UNITS), rel=0.1)


def test_odd_units_are_units() -> None:
    one = plan(("v2", 0.5), ("v1", 0.5))
    for unit in ("", "\0", "ü" * 1000, "\ud800"):
        assert arm_of(one, unit) == arm_of(one, unit)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda: Route("ab", (("v1", 0.5), ("v2", 0.4)), stable="v1"), "sum to 0.9"),
        (lambda: Route("ab", (("v1", 1.0), ("v2", 0.0)), stable="v1"), "v2 has a share of 0"),
        (lambda: Route("ab", (("v1", 1.5), ("v2", -0.5)), stable="v1"), "v1 has a share of 1.5"),
        (lambda: Route("ab", (("v1", float("nan")), ("v2", 1.0)), stable="v1"), "share of nan"),
        (lambda: Route("ab", (("v1", 0.99999), ("v2", 0.00001)), stable="v1"), "the smallest is 0.0001"),
        (lambda: Route("ab", (("v1", 0.5), ("v1", 0.5)), stable="v1"), "two shares"),
        (lambda: Route("canary", (("v1", 0.5), ("v2", 0.5)), stable="v9"), "v9, which has no share"),
        (lambda: Route("canary", (("v1", 1.0),), stable="v1"), "needs the stable version and one candidate"),
        (lambda: Route("shadow", (("v1", 1.0),), stable="v1"), "needs a version in shadow"),
        (lambda: Route("fallback", (("v1", 1.0),), stable="v1"), "needs a version to fall back to"),
        (lambda: Route("cascade", (("v1", 1.0),), stable="v1"), "needs a cheap and an expensive version"),
        (lambda: Route("cascade", (("a", 1.0),), stable="b", cascade=Cascade("a", "b", 1.5)), "0 to 1"),
        (lambda: Route("single", (("a", 1.0),), stable="a", cascade=Cascade("a", "b", 0.5)), "has a cascade"),
        (lambda: Route("cascade", (("x", 1.0),), stable="b", cascade=Cascade("a", "b", 0.5)), "a first, and x has"),
        (lambda: Route("shadow", (("a", 1.0),), stable="a", shadows=(("a", 0.1),)), "nothing is sent to it in shadow"),
        (lambda: Route("fallback", (("a", 1.0),), stable="a", fallback=("a",)), "a falls back to itself"),
    ],
)
def test_what_cannot_be_followed_is_refused(fault: object, told: str) -> None:
    assert callable(fault)
    with pytest.raises(DeclarationError, match=told):
        fault()


def test_what_is_plain_is_known() -> None:
    timed = Route("single", (("v1", 1.0),), stable="v1", limits=Limits(timeout_seconds=1.0))
    assert plan(("v1", 1.0), strategy="single").is_plain
    assert not RoutePlan("m", 1, timed).is_plain
