"""Counts of every prediction in the process, kept or not, between two flushes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from setpoint.core.clock import QUARTER_HOUR
from setpoint.core.events import Prediction, Tally
from setpoint.store.runs import Run

LATENCY_BINS_PER_OCTAVE = 32
SCORE_BINS_PER_LOGIT = 32
SCORE_BIN_LIMIT = 640
ERROR_KINDS, OTHER_ERRORS = 32, "other"
_KIND_LETTERS = 100
_LOWEST_SCORE = 1e-8  # its logit is -18: well inside the limit of 20, where `score_bin` clips
_Bin = TypeVar("_Bin", int, str)

Key = tuple[str | None, str | None, str | None, str | None, int]


@dataclass(slots=True)
class Counts:
    """What was counted of one version, endpoint, role, run and quarter of an hour."""

    requests: int = 0
    errors: int = 0
    not_kept: int = 0
    compute_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    latency_bins: dict[int, int] = field(default_factory=dict[int, int])
    first_chunk_bins: dict[int, int] = field(default_factory=dict[int, int])
    score_bins: dict[int, int] = field(default_factory=dict[int, int])
    missing: dict[str, int] = field(default_factory=dict[str, int])
    error_kinds: dict[str, int] = field(default_factory=dict[str, int])

    def add_seconds(self, part: str, seconds: object) -> None:
        """Add what a part of a latency took; what is no finite number above zero is left out."""
        if isinstance(seconds, int | float) and 0.0 < seconds < math.inf:
            self.seconds[part] = self.seconds.get(part, 0.0) + seconds

    def note_error(self, kind: str, rows: int = 1) -> None:
        """Count failed rows by what they are called; what comes after the first few dozen kinds is `other`."""
        if kind not in self.error_kinds and len(self.error_kinds) >= ERROR_KINDS:
            kind = OTHER_ERRORS
        self.error_kinds[kind] = self.error_kinds.get(kind, 0) + rows


class Counting:
    """Counts predictions and hands them over as tallies.

    Example:
        >>> counting = Counting()
        >>> counting.count(Prediction(prediction_id="a", root_id="a", predicted_at=0, recorded_at=0), (), kept=True)
        >>> [tally.requests for tally in counting.drain("process", 1, 0)]
        [1]
    """

    def __init__(self) -> None:
        self._counts: dict[Key, Counts] = {}
        self.dropped = self.failed = 0

    def count(self, event: Prediction, missing: tuple[str, ...], *, kept: bool) -> None:
        """Count one prediction; `missing` names its features without a value."""
        at = event.predicted_at
        key = (event.version, event.endpoint, event.role, event.run_id, at - at % QUARTER_HOUR)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = Counts()
        counts.requests += 1
        if event.error is not None:
            counts.errors += 1
            counts.note_error(_kind(event.error))
        if not kept:
            counts.not_kept += 1
        compute, latency = event.compute_seconds, event.latency_seconds
        if compute is not None and not isinstance(compute, str):  # what is not finite is spelled out
            counts.compute_seconds += compute
        if latency is not None and not isinstance(latency, str):
            index = latency_bin(latency)
            bins = counts.latency_bins
            bins[index] = bins.get(index, 0) + 1
            counts.add_seconds("latency", latency)
            counts.add_seconds("model", compute)
            _add_parts(counts, event)
        _add_first_chunk(counts, event.first_chunk_seconds)
        score = event.score
        if score is not None and not isinstance(score, str) and 0.0 <= score <= 1.0:
            index = score_bin(score)
            bins = counts.score_bins
            bins[index] = bins.get(index, 0) + 1
        for name in missing:
            counts.missing[name] = counts.missing.get(name, 0) + 1

    def count_run(self, run: Run, *, kept: bool) -> None:
        """Count predictions that look alike, all at once."""
        key = (*run.who, run.bucket_at)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = Counts()
        counts.requests += run.rows
        counts.errors += len(run.errors)
        counts.not_kept += 0 if kept else run.rows
        counts.compute_seconds += sum(run.compute)
        if run.latencies:  # then each row has one
            counts.add_seconds("latency", sum(run.latencies))
            counts.add_seconds("model", sum(run.compute))
        for kind, rows in Counter(map(_kind, run.errors)).items():
            counts.note_error(kind, rows)
        _add(counts.latency_bins, latency_bins(run.latencies))
        _add(counts.score_bins, score_bins(run.scores))
        _add(counts.missing, run.missing)

    def drain(self, process: str, sequence: int, recorded_at: int) -> list[Tally]:
        """Return what was counted since the last drain, and start again."""
        taken, self._counts = self._counts, {}
        dropped, failed = self.dropped, self.failed
        self.dropped = self.failed = 0
        if dropped + failed and not taken:
            taken = {(None, None, None, None, recorded_at - recorded_at % QUARTER_HOUR): Counts()}
        tallies = [
            Tally(
                process=process,
                sequence=sequence,
                bucket_at=bucket,
                recorded_at=recorded_at,
                version=version,
                endpoint=endpoint,
                role=role,
                run_id=run_id,
                requests=counts.requests,
                errors=counts.errors,
                not_kept=counts.not_kept,
                compute_seconds=counts.compute_seconds or None,
                seconds=counts.seconds or None,
                latency_bins=counts.latency_bins or None,
                first_chunk_bins=counts.first_chunk_bins or None,
                score_bins=counts.score_bins or None,
                missing=counts.missing or None,
                error_kinds=counts.error_kinds or None,
            )
            for (version, endpoint, role, run_id, bucket), counts in taken.items()
        ]
        if tallies:
            tallies[0].dropped, tallies[0].failed = dropped, failed
        return tallies


def _kind(error: object) -> str:
    """Return what an error is counted by; a caller may have given any object."""
    told = error if isinstance(error, str) else type(error).__name__
    return told[:_KIND_LETTERS].encode(errors="replace").decode()


def has_parts(event: Prediction) -> bool:
    """Return whether more is known of what a prediction took than its latency and compute."""
    return (
        event.upstream_seconds is not None
        or event.queue_seconds is not None
        or event.features_seconds is not None
        or event.first_chunk_seconds is not None
    )


def _add_parts(counts: Counts, event: Prediction) -> None:
    """Add the parts of a latency that few tell."""
    if has_parts(event):
        counts.add_seconds("queue", event.queue_seconds)
        counts.add_seconds("features", event.features_seconds)
        counts.add_seconds("upstream", event.upstream_seconds)


def _add_first_chunk(counts: Counts, first: object) -> None:
    if isinstance(first, int | float) and 0.0 <= first < math.inf:
        index = latency_bin(first)
        counts.first_chunk_bins[index] = counts.first_chunk_bins.get(index, 0) + 1


def _add(counts: dict[_Bin, int], found: Mapping[_Bin, int]) -> None:
    for place, count in found.items():
        counts[place] = counts.get(place, 0) + count


def latency_bins(seconds: Sequence[float]) -> Mapping[int, int]:
    """Return how many latencies are in each bin; the same as `latency_bin` of each, in fewer steps.

    Example:
        >>> dict(latency_bins([1.0, 2.0, 1.0]))
        {0: 2, 32: 1}
    """
    if not seconds or min(seconds) <= 1e-9 or max(seconds) > 1e9:  # noqa: PLR2004 — where `latency_bin` clips
        return Counter(map(latency_bin, seconds))
    return Counter(map(math.floor, map(float(LATENCY_BINS_PER_OCTAVE).__mul__, map(math.log2, seconds))))


def score_bins(scores: Sequence[float]) -> Mapping[int, int]:
    """Return how many scores are in each bin; one outside [0, 1] is in none.

    Example:
        >>> dict(score_bins([0.5, 0.5, 7.0]))
        {0: 2}
    """
    if not scores or min(scores) <= _LOWEST_SCORE or max(scores) >= 1.0 - _LOWEST_SCORE:
        return Counter(score_bin(score) for score in scores if 0.0 <= score <= 1.0)
    odds = [score / (1.0 - score) for score in scores]
    return Counter(map(math.floor, map(float(SCORE_BINS_PER_LOGIT).__mul__, map(math.log, odds))))


def latency_bin(seconds: float) -> int:
    """Return floor(32·log2 seconds); a latency that is not positive counts as a nanosecond.

    Example:
        >>> latency_bin(1.0), latency_bin(2.0), latency_bin(0.0)
        (0, 32, -957)
    """
    if not seconds > 1e-9:  # noqa: PLR2004 — one nanosecond; also catches NaN
        seconds = 1e-9
    return math.floor(LATENCY_BINS_PER_OCTAVE * math.log2(min(seconds, 1e9)))


def score_bin(score: float) -> int:
    """Return floor(32·logit score), clipped to [-640, 639].

    Example:
        >>> score_bin(0.5), score_bin(0.0), score_bin(1.0)
        (0, -640, 639)
    """
    if score <= 0.0:
        return -SCORE_BIN_LIMIT
    if score >= 1.0:
        return SCORE_BIN_LIMIT - 1
    position = math.floor(SCORE_BINS_PER_LOGIT * math.log(score / (1.0 - score)))
    if position < -SCORE_BIN_LIMIT:
        return -SCORE_BIN_LIMIT
    return position if position < SCORE_BIN_LIMIT else SCORE_BIN_LIMIT - 1
