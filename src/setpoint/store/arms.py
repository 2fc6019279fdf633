"""What units met at either version of a rollout: each unit is evidence once a step, with what befell it first.

When a share rises, units move from the stable version to the candidate and none comes back. Who was the candidate's
before stays it for sure, so such a unit is no evidence a second time. Who was the stable version's is drawn anew
between those that move and those that stay, with a chance that depends on the step in which it was last seen: such
units are a stratum of their own, apart from those that were never seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self, cast

import numpy as np
import numpy.typing as npt

from setpoint.core.rollout import BusinessValue, Rollout, Usual
from setpoint.core.window import Window
from setpoint.store.drawn import is_candidate, is_drawn, step_of, unit_of
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import Matching, examples
from setpoint.store.version_cohorts import is_version

OneCohort = tuple[str, str]
"""A declared cohort and its value; of all requests when both are empty."""
NEW = -1
"""The stratum of units that were never seen before their step."""


@dataclass(frozen=True, slots=True)
class Late:
    """What is known of units with their outcomes only; one entry a unit.

    Attributes:
        is_answered: Whether one of its requests did not fail.
        is_complete: Whether outcomes of all these are known.
        first_age: How old an answer was when its outcome was learned, of the first one, microseconds; NaN while none
            is known.
        value_usd: Dollars that its outcomes say, in all; NaN when none says.
        outcome: Mean of its outcomes; NaN while none is known.
        success: Mean of its answers that were right; NaN while no outcome is known.
    """

    is_answered: npt.NDArray[np.bool_]
    is_complete: npt.NDArray[np.bool_]
    first_age: npt.NDArray[np.float64]
    value_usd: npt.NDArray[np.float64]
    outcome: npt.NDArray[np.float64]
    success: npt.NDArray[np.float64]

    def only(self, chosen: npt.NDArray[np.bool_]) -> Self:
        """Return some of the units."""
        return replace(self, **{one.name: getattr(self, one.name)[chosen] for one in fields(self)})


@dataclass(frozen=True, slots=True)
class Units:
    """The units that become evidence in one batch, in the order of time; one entry a unit.

    Attributes:
        is_candidate: Whether it is the candidate's.
        stratum: The earlier step in which it was last seen, or `NEW`.
        requests: How many requests it made.
        has_error: Whether one of them failed.
        latency_seconds: Mean of those that did not; NaN without one.
        cost_usd: Mean of those with a known cost; NaN without one.
        is_wrong: Whether an answer was wrong, as 1 or 0; NaN while no outcome is known.
        loss_usd: Mean dollars lost by an answer whose outcome says; NaN without one.
        late: What is known with outcomes only, where they were asked for.
    """

    is_candidate: npt.NDArray[np.bool_]
    stratum: npt.NDArray[np.int64]
    requests: npt.NDArray[np.int64]
    has_error: npt.NDArray[np.bool_]
    latency_seconds: npt.NDArray[np.float64]
    cost_usd: npt.NDArray[np.float64]
    is_wrong: npt.NDArray[np.float64]
    loss_usd: npt.NDArray[np.float64]
    late: Late | None = None

    def only(self, chosen: npt.NDArray[np.bool_]) -> Self:
        """Return some of the units."""
        columns = {one.name: getattr(self, one.name)[chosen] for one in fields(self) if one.name != "late"}
        return replace(self, **columns, late=self.late and self.late.only(chosen))


@dataclass(frozen=True, slots=True)
class Requests:
    """Past requests of one version, in the order of time; one entry a request, as in `Units`.

    Attributes:
        asked_at: When, microseconds.
        unit: Which unit, numbered from 0.
        unit_count: How many units there are.
        has_error: Whether it failed.
        latency_seconds: NaN where it failed.
        cost_usd: NaN when unknown.
        is_wrong: 1 or 0; NaN while no outcome is known.
        loss_usd: NaN while no outcome says.
        of_cohort: By cohort and value, of those that were asked for: whether it is of it.
    """

    asked_at: npt.NDArray[np.int64]
    unit: npt.NDArray[np.int64]
    unit_count: int
    has_error: npt.NDArray[np.bool_]
    latency_seconds: npt.NDArray[np.float64]
    cost_usd: npt.NDArray[np.float64]
    is_wrong: npt.NDArray[np.float64]
    loss_usd: npt.NDArray[np.float64]
    of_cohort: Mapping[OneCohort, npt.NDArray[np.bool_]] = field(default_factory=dict[OneCohort, npt.NDArray[np.bool_]])


def requests_of(
    evidence: RowEvidence,
    version: str,
    window: Window,
    *,
    within: int,
    most: int,
    cohorts: Collection[OneCohort] = (),
) -> Requests:
    """Return the requests of a version in a window, the latest ones of at most so many.

    Args:
        evidence: The event log.
        version: Which.
        window: When.
        within: Of outcomes only those that were learned so soon after their prediction.
        most: How many at most.
        cohorts: Declared cohorts and their values, of which it is to be told which requests are of them.
    """
    matching = replace(evidence.matching(window), within=within)
    told = "".join(f", CAST({is_of_cohort(matching, one)} AS DOUBLE) AS of_{n}" for n, one in enumerate(cohorts))
    source = examples(matching)
    found = evidence.connection.execute(
        "SELECT * FROM (SELECT epoch_us(predicted_at) AS asked_at,"
        " dense_rank() OVER (ORDER BY coalesce(unit, root_id)) - 1 AS unit,"
        " CAST(error IS NOT NULL AS DOUBLE) AS has_error,"
        " CASE WHEN error IS NULL THEN latency_seconds END AS latency_seconds, cost_usd, 1.0 - is_success AS is_wrong,"
        f" {_OF_A_REQUEST['loss_usd']} AS loss_usd{told} FROM ({source}) AS e"
        f" WHERE is_root AND {is_version('version', version)}"
        f" ORDER BY asked_at DESC LIMIT {most}) ORDER BY asked_at"
    ).fetchnumpy()
    columns = {name: _filled(values) for name, values in found.items()}
    unit = columns.pop("unit").astype(np.int64)
    of_cohort = {one: columns.pop(f"of_{n}") > 0 for n, one in enumerate(cohorts)}
    return Requests(
        asked_at=columns.pop("asked_at").astype(np.int64),
        unit=unit,
        unit_count=int(unit.max()) + 1 if len(unit) else 0,
        has_error=columns.pop("has_error") > 0,
        of_cohort=of_cohort,
        **columns,
    )


def units_of(
    evidence: RowEvidence,
    rollout: Rollout,
    step: int,
    window: Window,
    *,
    within: int | None = None,
    cohort: OneCohort = ("", ""),
) -> Units:
    """Return the units whose first request of a step, as far as it counts, lies in a window; see `draw`.

    Args:
        evidence: The event log.
        rollout: The rollout.
        step: Its step, from 0 on.
        window: When the first request came; the declared exposure has passed by its end.
        within: Of outcomes only those that were learned so soon after their prediction; None for all.
        cohort: A declared cohort and its value: only requests that are of it; of all without a name.
    """
    exposure = rollout.rules.exposure
    reach = Window(window.start, window.end + exposure)
    earlier = (
        "SELECT unit, bool_or(has_candidate) AS was_candidate, max(step) AS last_step FROM seen_units"
        f" WHERE step < {step} GROUP BY unit"
    )
    firsts = (
        "SELECT unit, counted_at AS first_at FROM seen_units"
        f" WHERE step = {step} AND counted_at >= {window.start} AND counted_at < {window.end}"
    )
    until = f"f.first_at + {exposure}" if exposure else f"{window.end}"
    came = "e.error IS NULL AND (e.has_outcome OR e.value_usd IS NOT NULL)"
    matching = replace(evidence.matching(reach), within=within)
    found = evidence.connection.execute(
        f"WITH earlier AS ({earlier}), firsts AS ({firsts})"
        f" SELECT arg_min({is_candidate('e', rollout)}, e.predicted_at) AS is_candidate,"
        " any_value(coalesce(b.last_step, -1)) AS stratum,"
        " count(*) AS requests, count(e.error) AS errors,"
        " avg(e.latency_seconds) FILTER (e.error IS NULL) AS latency_seconds, avg(e.cost_usd) AS cost_usd,"
        " max(1.0 - e.is_success) AS is_wrong,"
        " avg(-least(e.value_usd, 0.0)) FILTER (e.value_usd IS NOT NULL) AS loss_usd,"
        " count(*) FILTER (e.error IS NULL) AS answers,"
        f" count(*) FILTER ({came}) AS outcomes, min(e.outcome_age) FILTER ({came}) AS first_age,"
        " sum(e.value_usd) AS value_usd, avg(e.outcome_number) AS outcome, avg(e.is_success) AS success"
        f" FROM ({examples(matching)}) AS e JOIN firsts AS f ON f.unit = {unit_of('e')}"
        " LEFT JOIN earlier AS b ON b.unit = f.unit"
        f" WHERE {is_drawn('e', rollout)} AND {step_of('e', rollout)} = {step}"
        f" AND epoch_us(e.predicted_at) >= f.first_at AND epoch_us(e.predicted_at) < {until}"
        f" AND NOT coalesce(b.was_candidate, false) AND {is_of_cohort(matching, cohort)}"
        " GROUP BY f.unit ORDER BY any_value(f.first_at), any_value(coalesce(e.unit, e.root_id))"
    ).fetchnumpy()
    columns = {name: _filled(values) for name, values in found.items()}
    return Units(
        is_candidate=columns["is_candidate"] > 0,
        stratum=columns["stratum"].astype(np.int64),
        requests=columns["requests"].astype(np.int64),
        has_error=columns["errors"] > 0,
        latency_seconds=columns["latency_seconds"],
        cost_usd=columns["cost_usd"],
        is_wrong=columns["is_wrong"],
        loss_usd=columns["loss_usd"],
        late=None
        if within is None
        else Late(
            columns["answers"] > 0,
            columns["outcomes"] == columns["answers"],
            *(columns[name] for name in ("first_age", "value_usd", "outcome", "success")),
        ),
    )


def is_of_cohort(matching: Matching, cohort: OneCohort, example: str = "e") -> str:
    """Return SQL that tells whether an example is of a cohort."""
    name, value = cohort
    if not name:
        return "true"
    place = [declared for declared, _ in matching.cohorts].index(name)
    return f"CAST({example}.cohort_{place} AS VARCHAR) IS NOT DISTINCT FROM {literal(value)}"


def occurs(evidence: RowEvidence, cohort: str, value: str) -> bool:
    """Return whether any request was ever of a declared cohort's value."""
    is_it = f"CAST({dict(evidence.matching(None).cohorts)[cohort]} AS VARCHAR) = {literal(value)}"
    return bool(rows(evidence.connection, f"SELECT 1 FROM predictions AS p WHERE {is_it} LIMIT 1"))


def errors_of(evidence: RowEvidence, version: str, window: Window, cohort: OneCohort) -> tuple[int, int]:
    """Return how many requests of a cohort a version had in a window, and how many of them failed."""
    matching = evidence.matching(window)
    source = f"({examples(matching)}) AS e WHERE is_root AND {is_version('version', version)}"
    found = rows(
        evidence.connection, f"SELECT count(*), count(error) FROM {source} AND {is_of_cohort(matching, cohort)}"
    )
    return cast("tuple[int, int]", found[0])


def values_known(evidence: RowEvidence, version: str, window: Window, value: BusinessValue) -> int:
    """Return of how many requests of a version in a window it is known what they were for the business."""
    column = {"value_usd": "value_usd", "outcome": "outcome_number", "success": "is_success"}[value]
    source = f"({examples(evidence.matching(window))}) WHERE is_root AND {is_version('version', version)}"
    return cast("int", rows(evidence.connection, f"SELECT count({column}) FROM {source}")[0][0])


_RATIOS = {"error_ratio": "CAST(error IS NOT NULL AS DOUBLE)", "wrong_ratio": "1.0 - is_success"}
_OF_A_REQUEST = {
    "latency_seconds": "latency_seconds",
    "cost_usd": "cost_usd",
    "loss_usd": "CASE WHEN value_usd IS NOT NULL THEN -least(value_usd, 0.0) END",
}
_OF_AN_ANSWER = {name: f"CASE WHEN error IS NULL THEN {sql} END" for name, sql in _OF_A_REQUEST.items()}


def metrics_known(evidence: RowEvidence, window: Window) -> dict[str, int]:
    """Return of how many requests of a window each metric of a red line is known, whichever version answered."""
    columns = {**_RATIOS, **_OF_AN_ANSWER}
    counts = ", ".join(f"count({sql})" for sql in columns.values())
    source = examples(evidence.matching(window))
    found = rows(evidence.connection, f"SELECT {counts} FROM ({source}) AS e WHERE is_root")[0]
    return dict(zip(columns, cast("tuple[int, ...]", found), strict=True))


def usual(evidence: RowEvidence, version: str, window: Window, cohort: OneCohort = ("", "")) -> dict[str, Usual]:
    """Return what a version's requests of a window were like, by metric; those that no request has are left out.

    Args:
        evidence: The event log.
        version: Which.
        window: When.
        cohort: A declared cohort and its value: only requests that are of it; of all without a name.
    """
    matching = evidence.matching(window)
    columns = ", ".join(f"{sql} AS {name}" for name, sql in {**_RATIOS, **_OF_AN_ANSWER}.items())
    places = ", ".join(f"{n / _PLACES:g}" for n in range(_PLACES + 1))
    told = [f"avg({name}), count({name}), NULL::DOUBLE[]" for name in _RATIOS]
    told += [f"avg({name}), count({name}), quantile_cont({name}, [{places}])" for name in _OF_AN_ANSWER]
    source = (
        f"SELECT {columns} FROM ({examples(matching)}) AS e WHERE is_root AND {is_version('version', version)}"
        f" AND {is_of_cohort(matching, cohort)}"
    )
    row = rows(evidence.connection, f"SELECT {', '.join(told)} FROM ({source})")[0]
    found: dict[str, Usual] = {}
    for n, name in enumerate([*_RATIOS, *_OF_AN_ANSWER]):
        mean, count, quantiles = cast("tuple[float, int, list[float] | None]", row[3 * n : 3 * n + 3])
        if quantiles is None and count:
            found[name] = Usual(mean, count)
        # What never varies, such as a loss that is always 0, has no scale to bet on.
        elif quantiles and count >= LEAST_ROWS and quantiles[0] < quantiles[-1]:
            found[name] = Usual(mean, count, tuple(quantiles))
    return found


_PLACES = 1000
LEAST_ROWS = 200
"""So many requests it takes to say which values are usual."""


def _filled(values: object) -> npt.NDArray[np.float64]:
    return np.asarray(np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan))
