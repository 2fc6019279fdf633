"""The usual request, written out for speed, is recorded and answered as any other."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

import numpy as np
import pytest

from setpoint import Endpoint, Recorder, Reply
from setpoint.control.route_plans import publish
from setpoint.core.contract import Contract, ContractField
from setpoint.core.model import Model
from setpoint.core.route_plan import Route
from setpoint.predictions.details import RequestDetails
from setpoint.predictions.versions import Version
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

INPUTS: dict[str, float | str] = {"amount": 3.0, "country": "DE"}
CANARY = Route("canary", (("v2", 0.4), ("v1", 0.6)), stable="v1")
SHADOWED = Route("shadow", (("v1", 1.0),), stable="v1", shadows=(("v2", 1.0),))
FALLBACK = Route("fallback", (("v1", 1.0),), stable="v1", fallback=("v2",))
SPENT = ("latency_seconds", "compute_seconds")
OWN = ("prediction_id", "root_id", "parent_id", "trace_id")


def raising(_: object) -> object:
    raise OSError


def spoiling(inputs: Mapping[str, object]) -> float:
    dict.clear(inputs)  # pyright: ignore[reportArgumentType] — a version that does not keep to its type
    return 1.0


def told(
    *,
    is_usual: bool,
    version: Version,
    details: RequestDetails,
    route: Route,
    model: Model,
    is_score: bool,
    all_kept: bool,
) -> tuple[object, list[dict[str, object]]]:
    """Return what the caller of an endpoint got, and the rows that say so."""
    with temporary_store(model) as (layout, spool):
        publish(layout, "m", route, salt="s", keeps_all=all_kept)
        recorder = Recorder(layout, "m", spool=spool)
        endpoint = Endpoint(layout, "m", {"v1": version, "v2": lambda _: 7.0}, recorder=recorder, is_score=is_score)
        try:
            # Coroutines are never answered the short way.
            asked = (
                endpoint.predict(INPUTS, **details)
                if is_usual
                else asyncio.run(endpoint.predict_async(INPUTS, **details))
            )
            got: object = asked.prediction, asked.score, asked.text, asked.version, asked.is_fallback, list(asked.calls)
            assert asked.latency_seconds > 0.0
        except OSError as error:
            got = type(error)
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            cursor = snapshot.connection.execute(
                "SELECT * EXCLUDE (predicted_at, recorded_at) FROM predictions ORDER BY role"
            )
            names = [name for name, *_ in cursor.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in found:
        for name in SPENT:
            row[name] = row.get(name) is not None and round(row[name], -1)
        if "prediction_id" not in details:
            row.update({name: row[name] is None for name in OWN if name in row})
    return got, found


@pytest.mark.parametrize(
    ("version", "is_score"),
    [
        (lambda _: 1.5, False),
        (lambda _: True, False),
        (lambda _: "spam", False),
        (lambda _: 0.25, True),
        (lambda _: 1, True),
        (lambda _: "spam", True),
        (lambda _: None, False),
        (lambda _: np.float64(0.5), False),
        (lambda _: np.float64(0.5), True),
        (lambda _: {"score": 0.2, "prediction": False}, False),
        (lambda _: Reply(text="yes", calls=[{"provider": "p", "input_tokens": 3}]), False),
        (lambda _: math.nan, False),
        (spoiling, False),
        (raising, False),
    ],
)
@pytest.mark.parametrize("route", [CANARY, SHADOWED, FALLBACK])
def test_whatever_a_version_answers_both_ways_tell_the_same(version: Version, route: Route, *, is_score: bool) -> None:
    details: RequestDetails = {"unit": "user-3", "key": "k"}
    told_by = {
        is_usual: told(
            is_usual=is_usual,
            version=version,
            details=details,
            route=route,
            model=Model("m"),
            is_score=is_score,
            all_kept=False,
        )
        for is_usual in (True, False)
    }
    assert repr(told_by[True]) == repr(told_by[False])
    assert told_by[True][1]


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"unit": 17},
        {"unit": math.nan},
        {"unit": ""},
        {"unit": "lone \ud800 half"},
        {"unit": "user-3", "key": "k", "prediction_id": "mine"},
        {"unit": "user-3", "source": "feed-2", "feature_version": "f7", "trace_id": "t", "run_id": "r"},
        {"unit": "user-3", "queue_seconds": 20.0, "features_seconds": 10.0},
        {"unit": "user-3", "queue_seconds": "soon"},
    ],
)
@pytest.mark.parametrize("all_kept", [True, False])
def test_whatever_is_said_of_a_request_both_ways_record_the_same(details: RequestDetails, *, all_kept: bool) -> None:
    model = Model("m", keep=0.5, contract=Contract((ContractField("amount", required=True, at_most=2.0),)))
    told_by = {
        is_usual: told(
            is_usual=is_usual,
            version=lambda _: 1.5,
            details=details,
            route=FALLBACK,
            model=model,
            is_score=False,
            all_kept=all_kept,
        )
        for is_usual in (True, False)
    }
    assert repr(told_by[True]) == repr(told_by[False])
    assert not all_kept or told_by[True][1]  # what cannot be read of it costs no row
