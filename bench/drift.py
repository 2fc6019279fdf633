"""How often drift alarms are false and how soon they are true, beside the rules of the peers on the same days.

`make bench-drift` runs a short form; `make bench-drift CHAINS=360` the one that the documents quote (some hours).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import get_args

import numpy as np
from scipy import stats

from bench.table import table
from setpoint.inputs.detection import Day, Detector
from setpoint.inputs.profiles import Profile
from setpoint.stats import distances
from setpoint.stats.intervals import wilson
from setpoint.testing.drift import Change, DriftWorld, Kind

CHAINS = int(os.environ.get("CHAINS", "6"))
REFERENCE, DAYS = 28, 28
SIZES = (500, 5_000, 50_000, 1_000_000)
FALSE_ALARMS = {"alike": 0.01}
JITTER = 0.05
QUARTER = 91
_SAMPLING = {
    5_000: {
        "mean + .1 sd": (Change(shift=0.1), "n0", 1, 0.99),
        "variance x 1.2": (Change(width=1.2**0.5), "n0", 1, 0.99),
        "missing 2 → 5 %": (Change(missing=0.05), "n0", 1, 0.99),
        "new value at .5 %": (Change(new_value=0.005), "c2", 1, 0.99),
        "first and second value swap": (Change(swapped=(0, 1)), "c2", 1, 0.99),
        "third and tenth value swap": (Change(swapped=(2, 9)), "c2", 1, 0.99),
        "mean + .05 sd, 2 days": (Change(shift=0.05), "n0", 2, 0.75),
        "mean + .05 sd, 4 days": (Change(shift=0.05), "n0", 4, 0.95),
        "missing 2 → 3 %, 2 days": (Change(missing=0.03), "n0", 2, 0.75),
        "missing 2 → 3 %, 4 days": (Change(missing=0.03), "n0", 4, 0.95),
        "5 % + 1 sd, 2 days": (Change(hump=0.05), "n0", 2, 0.75),
        "5 % + 1 sd, 4 days": (Change(hump=0.05), "n0", 4, 0.95),
        "ramp of .02 sd a day, 3 days": (Change(ramp=0.02), "n0", 3, 0.5),
    },
    500: {
        "mean + .2 sd, 2 days": (Change(shift=0.2), "n0", 2, 0.95),
        "missing 2 → 5 %, 2 days": (Change(missing=0.05), "n0", 2, 0.95),
        "variance x 1.2, 2 days": (Change(width=1.2**0.5), "n0", 2, 0.95),
        "mean + .1 sd, 7 days": (Change(shift=0.1), "n0", 7, 0.9),
    },
}


def main() -> None:
    """Print false alarms by world and size, and detection by size."""
    names = ["ours", *PEERS]
    rows: list[list[object]] = []
    for kind in get_args(Kind):
        for size in SIZES:
            found = false_alarms(kind, size)
            rows.append(
                [kind, f"{size:,}", *(_interval(*found[name][:2]) for name in names), f"{found['ours'][2]:.2f}"]
            )
    print(
        f"\ndays of {CHAINS * DAYS} with a new alarm though nothing changed; ours: at most 1 % of days alike, 5 % of others"
    )
    print(table(["days are", "rows a day", *names, "ours a quarter"], rows))
    rows = []
    for size, changes in _SAMPLING.items():
        for name, (change, feature, within, aim) in changes.items():
            hits, tries = detected(size, change, feature, within)
            rows.append([f"{size:,}", name, _interval(hits, tries), f">= {aim}"])
    print("\nfound in time, days alike")
    print(table(["rows a day", "change", "found", "aim"], rows))


def false_alarms(kind: Kind, size: int) -> dict[str, tuple[int, int, float]]:
    """Return for each rule the days with a new alarm, all days, and new alarms a quarter."""
    new: dict[str, list[int]] = {}
    for chain in range(CHAINS):
        world = DriftWorld(size, kind=kind, seed=1000 + chain)
        usual, later = world.days(REFERENCE), world.days(DAYS)
        for name, rule in _rules(usual):
            before: set[str] = set()
            for n in range(DAYS):
                now = rule(later[: n + 1])
                new.setdefault(name, []).append(len(now - before))
                before = now
    return {
        name: (sum(count > 0 for count in counts), len(counts), sum(counts) / len(counts) * QUARTER)
        for name, counts in new.items()
    }


def detected(size: int, change: Change, feature: str, within: int) -> tuple[int, int]:
    """Return in how many worlds a changed feature was an alarm within some days, and of how many."""
    hits, tries = 0, 10 * CHAINS
    for seed in range(tries):
        world = DriftWorld(size, seed=5000 + seed)
        detector = Detector(world.days(REFERENCE))
        later = world.days(within, change)
        hits += any(
            drift.is_alarm
            for n in range(within)
            for drift in detector.judge(later[: n + 1])
            if drift.feature == feature
        )
    return hits, tries


def _rules(usual: Sequence[Day]) -> Iterator[tuple[str, Callable[[Sequence[Day]], set[str]]]]:
    detector = Detector(usual)
    yield "ours", lambda days: {drift.feature for drift in detector.judge(days) if drift.is_alarm}
    whole = _together(usual)
    for name, rule in PEERS.items():
        yield (
            name,
            lambda days, rule=rule: {
                feature for feature, before in whole.items() if rule(before, _counts(days[-1].profiles[feature]))
            },
        )


def _counts(profile: Profile) -> dict[str, float]:
    if profile.kind == "numeric":
        return {f"{n:03d}": float(count) for n, count in zip(profile.index.tolist(), profile.counts, strict=True)}
    return dict(profile.values)


def _together(days: Sequence[Day]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for day in days:
        for feature, profile in day.profiles.items():
            mine = found.setdefault(feature, {})
            for value, count in _counts(profile).items():
                mine[value] = mine.get(value, 0.0) + count
    return found


def _pair(before: Mapping[str, float], now: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    names = sorted({*before, *now})
    return np.array([before.get(n, 0.0) for n in names]), np.array([now.get(n, 0.0) for n in names])


def _is_number(counts: Mapping[str, float]) -> bool:
    return next(iter(counts)).isdigit()


def _ks_or_chi2(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """Return the p-value that frouros, whylogs and alibi-detect decide by; on bins, which makes it a little larger."""
    left, right = _pair(before, now)
    if _is_number(before):
        gap = float(np.abs(np.cumsum(left) / left.sum() - np.cumsum(right) / right.sum()).max())
        return float(stats.kstwobign.sf(gap * np.sqrt(left.sum() * right.sum() / (left.sum() + right.sum()))))
    return float(stats.chi2_contingency(np.array([left, right]) + 1e-9)[1])


def _psi(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    left, right = _pair(before, now)
    if _is_number(before):  # tenths of the reference
        tenth = np.minimum(((np.cumsum(left) - left / 2) / left.sum() * 10).astype(int), 9)
        left, right = (np.bincount(tenth, weights=counts, minlength=10) for counts in (left, right))
    return distances.psi(left, right).value or 0.0


def _evidently(before: Mapping[str, float], now: Mapping[str, float]) -> bool:
    """Return whether Wasserstein's distance over the spread, or Jensen and Shannon's, is above .1."""
    left, right = _pair(before, now)
    if not _is_number(before):
        return (distances.jensen_shannon(left, right).value or 0.0) > 0.1  # noqa: PLR2004 — its default
    places = stats.norm.ppf((np.arange(64) + 0.5) / 64)[[int(name) for name in sorted({*before, *now})]]
    return (distances.wasserstein_binned(places, left, right).value or 0.0) > 0.1  # noqa: PLR2004 — its default


PEERS: dict[str, Callable[[Mapping[str, float], Mapping[str, float]], bool]] = {
    "KS, chi2 < .05": lambda before, now: _ks_or_chi2(before, now) < 0.05,  # noqa: PLR2004
    "the same / 20": lambda before, now: _ks_or_chi2(before, now) < 0.05 / 20,
    "PSI > .1": lambda before, now: _psi(before, now) > 0.1,  # noqa: PLR2004
    "PSI > .2": lambda before, now: _psi(before, now) > 0.2,  # noqa: PLR2004
    "W1/sd, JS > .1": _evidently,
}


def _interval(hits: int, tries: int) -> str:
    found = wilson(hits, tries)
    return f"{100 * (found.value or 0.0):.1f} % [{100 * (found.low or 0.0):.1f}, {100 * (found.high or 0.0):.1f}]"


if __name__ == "__main__":
    main()
