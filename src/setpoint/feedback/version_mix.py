"""What a window's versions lack to be estimated: what another version's scores mean says nothing about its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

SMALL_SHARE = 0.05
"""A version with less of a window needs no outcomes of its own."""

Version = TypeVar("Version")


def shares_of_versions(versions: list[Version], weights: list[float]) -> dict[Version, float]:
    """Return the share that each version has of a window.

    Args:
        versions: Of each row or group of rows.
        weights: Its row weight.

    Example:
        >>> shares_of_versions(["v1", "v2", "v1"], [1.0, 1.0, 2.0])
        {'v1': 0.75, 'v2': 0.25}
    """
    total, found = sum(weights), dict[Version, float]()
    for version, weight in zip(versions, weights, strict=True):
        found[version] = found.get(version, 0.0) + weight / total
    return found


def lacks_outcomes(shares: Mapping[Version, float], missing: Callable[[Version], str]) -> str:
    """Return what the first version of a window lacks, or an empty string.

    Args:
        shares: Of each version of the window; one without a name is None or an empty text.
        missing: Says what the outcomes of one version lack: "needs N more mature outcomes to ...".

    Example:
        >>> lacks_outcomes({"v2": 1.0}, lambda version: "needs 3 more mature outcomes to calibrate")
        'needs 3 more mature outcomes to calibrate'
    """
    for version, share in sorted(shares.items(), key=lambda item: -item[1]):
        lacking = missing(version) if share >= SMALL_SHARE else ""
        if lacking:
            of = f" of version {version}, {share:.0%} of the window" if len(shares) > 1 and version else ""
            return lacking.replace(" to ", f"{of} to ", 1)
    return ""
