"""How many rows a gross change takes to be found within its day, and how often there is an alarm without one.

Days of 24 hours; each hour has its own noise, as `DriftWorld` gives it to a day. A change begins in the middle of an
hour, and it is looked every 25 rows. Beside changes, days on which nothing changes, some features being missing at night.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from bench.table import Cell, table
from setpoint.inputs.detection import Day
from setpoint.inputs.gross import Counts, DayByHour, Gross, Usual, judge, learn
from setpoint.inputs.profiles import Profile
from setpoint.stats.intervals import wilson
from setpoint.stats.special import FloatArray
from setpoint.testing.drift import DriftWorld, Kind

HOURS, REFERENCE, STEP, MOST_ROWS = 24, 28, 25, 500
CHANGED_HOUR, CHANGED_MINUTE = 10, 30
SIZES = (2_400, 12_000, 120_000)
RUNS, QUIET_DAYS, WORLDS = 10, 60, 2


def _half_missing(counts: Counts, share: float) -> Counts:
    return _with(counts, missing=0.5, share=share)


def _vanished(counts: Counts, share: float) -> Counts:
    return _with(counts, missing=1.0, share=share)


def _new_value(counts: Counts, share: float) -> Counts:
    present = (counts.rows - counts.missing) * share * 0.2
    rest = counts.values * (1.0 - share * 0.2)
    return replace(counts, labels=(*counts.labels, "new"), values=np.concatenate([rest, present[None]]))


def _constant(counts: Counts, share: float) -> Counts:
    present = counts.rows - counts.missing
    values = counts.values * (1.0 - share)
    values[0] += present * share
    return replace(counts, values=values)


def _with(counts: Counts, *, missing: float, share: float) -> Counts:
    gone = counts.rows * missing * share
    left = np.divide(counts.rows - gone, counts.rows, out=np.zeros_like(gone), where=counts.rows > 0.0)
    return replace(counts, missing=counts.missing * left + gone, values=counts.values * left)


CHANGES: Mapping[str, tuple[str, Callable[[Counts, float], Counts]]] = {
    "missing 2 → 50 %": ("n0", _half_missing),
    "a column vanishes": ("n1", _vanished),
    "a new value in 20 %": ("c2", _new_value),
    "one value for all": ("n2", _constant),
}


def days(world: DriftWorld, count: int, *, is_batched: bool = False) -> list[DayByHour]:
    """Return days of which each hour is drawn as a day of the world; batched: `n3` is missing from two to four."""
    found: list[DayByHour] = []
    for _ in range(count):
        hours = world.days(HOURS)
        features = {name: _counts(hours, name) for name in hours[0].profiles}
        if is_batched:
            night = (np.arange(HOURS) // 2 == 1).astype(np.float64)
            features["n3"] = _scaled(features["n3"], night)
        found.append(DayByHour(0, tuple(range(HOURS)), np.arange(HOURS), features))
    return found


def _scaled(counts: Counts, gone: FloatArray) -> Counts:
    return replace(
        counts, missing=np.where(gone > 0.0, counts.rows, counts.missing), values=counts.values * (1.0 - gone)
    )


def _counts(hours: list[Day], name: str) -> Counts:
    profiles: list[Profile] = [hour.profiles[name] for hour in hours]
    told = [_labels(profile) for profile in profiles]
    labels = dict.fromkeys(label for one in told for label in one)
    values = np.array([[one.get(label, 0.0) for one in told] for label in labels])
    rows = np.array([profile.rows for profile in profiles])
    missing = np.array([profile.missing for profile in profiles])
    return Counts(rows, missing, tuple(labels), values, profiles[0].kind == "numeric")


def _labels(profile: Profile) -> Mapping[str, float]:
    if profile.kind != "numeric":
        return profile.values
    return {str(index): count for index, count in zip(profile.index.tolist(), profile.counts.tolist(), strict=True)}


def rows_until_found(size: int, seed: int) -> dict[str, float]:
    """Return how many rows after each change it is found, infinite when not on the same day."""
    world = DriftWorld(size // HOURS, seed=seed)
    usual, today = learn(days(world, REFERENCE)), days(world, 1)[0]
    return {name: _until_found(usual, today, *change) for name, change in CHANGES.items()}


def _until_found(
    usual: Mapping[str, Usual], today: DayByHour, feature: str, altered: Callable[[Counts, float], Counts]
) -> float:
    counts, each = today.features[feature], float(today.features[feature].rows[0])
    before = each * CHANGED_MINUTE / 60.0
    seen = 0.0
    while (seen := seen + (STEP if seen < MOST_ROWS else 4.0 * STEP)) < each * (HOURS - CHANGED_HOUR) - before:
        hour, into = divmod(before + seen, each)
        last = CHANGED_HOUR + int(hour)
        shares = np.where(np.arange(HOURS) > CHANGED_HOUR, 1.0, 0.0)
        in_first = min(before + seen, each)
        shares[CHANGED_HOUR] = (in_first - before) / in_first
        sizes = np.where(np.arange(HOURS) < last, 1.0, into / each)[: last + 1]
        whole = altered(counts, 1.0)
        now = Counts(
            (counts.rows[: last + 1] * sizes),
            (counts.missing + (whole.missing - counts.missing) * shares)[: last + 1] * sizes,
            whole.labels,
            _mixed(counts, whole, shares)[:, : last + 1] * sizes,
            counts.is_number,
        )
        if judge(usual, DayByHour(0, today.starts[: last + 1], today.hours[: last + 1], {feature: now})):
            return seen
    return float("inf")


def _mixed(counts: Counts, whole: Counts, shares: FloatArray) -> FloatArray:
    before = np.zeros_like(whole.values)
    before[: len(counts.values)] = counts.values
    return before + (whole.values - before) * shares


def false_alarms(kind: Kind, size: int, count: int, seed: int) -> list[Gross]:
    """Return the alarms of days on which nothing changes."""
    world = DriftWorld(size // HOURS, kind=kind, seed=seed)
    usual = learn(days(world, REFERENCE, is_batched=True))
    return [gross for day in days(world, count, is_batched=True) for gross in judge(usual, day)[:1]]


def main() -> None:
    """Print the rows until each change is found, and false alarms."""
    body: list[list[Cell]] = []
    for size in SIZES:
        runs = [rows_until_found(size, seed) for seed in range(RUNS)]
        for change in CHANGES:
            found = [run[change] for run in runs]
            in_time = sum(rows <= MOST_ROWS for rows in found)
            body.append([f"{size:,}", change, float(np.median(found)), float(np.max(found)), f"{in_time} of {RUNS}"])
    print("rows after a change until it is found, that begins in the middle of an hour")
    print(table(["rows a day", "change", "median", "most", f"within {MOST_ROWS}"], body))
    body = []
    for kind in ("alike", "moody", "heavy"):
        for size in SIZES:
            alarms = sum(len(false_alarms(kind, size, QUIET_DAYS // WORLDS, seed)) for seed in range(WORLDS))
            found = wilson(alarms, QUIET_DAYS)
            body.append([kind, f"{size:,}", f"{alarms} of {QUIET_DAYS}", 100.0 * (found.high or 1.0)])
    print("\ndays with an alarm though nothing changed; one feature is missing from two to four every night")
    print(table(["hours are", "rows a day", "days with an alarm", "% at most"], body))


if __name__ == "__main__":
    main()
