"""The demo: train on half a year of flights, replay the other half through the recorder, ask the questions."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from setpoint.control.loop import tick
from setpoint.core.clock import parse_time
from setpoint.core.errors import UsageError
from setpoint.core.model import (
    BusinessMetric,
    Cohort,
    Expectation,
    Feature,
    Model,
    Owner,
    Rates,
)
from setpoint.demo.flights import CATEGORICAL, FEATURES, Flights, Frame, load
from setpoint.demo.story import tell
from setpoint.predictions.recorder import Recorder
from setpoint.project.log import open_log
from setpoint.stats.classification import BinaryState
from setpoint.stats.ranking import auc
from setpoint.store.layout import Layout, ReplayClock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.ensemble import HistGradientBoostingClassifier

MODEL = "flights"
ZONE = "America/New_York"
LIVE_FROM, LIVE_UNTIL = "2013-07-01", "2014-01-01"
MARGIN = 0.02
_FLUSH_EVERY = 20_000


@dataclass(frozen=True)
class Trained:
    """A fitted model and what was learned on the way.

    Attributes:
        classifier: The fitted model.
        categories: Values of each categorical feature, in the order the model knows.
        importances: Share of skill a feature carries.
        expectation: The bar: measured on May and June by a model that ended in April, less a margin.
    """

    classifier: HistGradientBoostingClassifier
    categories: dict[str, list[str]]
    importances: dict[str, float]
    expectation: Expectation

    def scores(self, flights: Flights) -> NDArray[np.float64]:
        """Return the probability of landing late for each flight."""
        return cast("NDArray[np.float64]", self.classifier.predict_proba(frame(flights, self.categories))[:, 1])


def run(store: Path, *, console: Console | None = None, flights: Flights | None = None) -> None:
    """Train, replay six months and print the three answers; the store stays for further questions.

    Args:
        store: See `record`.
        console: See `record`.
        flights: See `record`.
    """
    shown, started = console or Console(stderr=True), time.perf_counter()
    layout, count = record(store, console=shown, flights=flights)
    with shown.status("ship, close hours, run the checks"):
        tick(layout)
    with open_log(store) as log:
        print(tell(log, MODEL))
    shown.print(
        f"\n{count:,} predictions recorded and answered in {time.perf_counter() - started:.0f} s."
        f" The store stays: setpoint status {MODEL} --store {store} --by carrier --over 2013-10-01..2013-11-01",
        highlight=False,
        soft_wrap=True,
    )


def record(store: Path, *, console: Console | None = None, flights: Flights | None = None) -> tuple[Layout, int]:
    """Train, and replay six months through the recorder; return the store, and how many predictions that were.

    Args:
        store: Where the demo's store is made; one of an earlier demo is replaced.
        console: Where progress is shown; stderr by default.
        flights: All that flew in 2013 by default; a test gives fewer, and other outcomes.

    Raises:
        UsageError: There is something at `store` that is no demo's.
    """
    shown = console or Console(stderr=True)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=shown
    ) as progress:
        step = progress.add_task("read the flights of 2013", total=None)
        flights = flights or load()
        progress.update(step, description="train on January to June, twice: once for the bar, once for the job")
        trained = train(flights)
        live = flights.between(LIVE_FROM, LIVE_UNTIL)
        progress.update(step, description=f"score {len(live.table):,} flights, a day at a time")
        scored = _score(live, trained)
        progress.update(
            step,
            description=f"replay {len(live.table):,} flights through the recorder",
            total=len(scored.events),
        )
        layout = _new_store(store, trained)
        _replay(layout, scored, advance=lambda count: progress.advance(step, count))
    return layout, len(live.table)


def frame(flights: Flights, categories: dict[str, list[str]]) -> Frame:
    """Return the features as the model takes them."""
    import pandas as pd  # noqa: PLC0415 — the demo's extra

    table = flights.table[list(FEATURES)].copy()
    for name in CATEGORICAL:
        table[name] = pd.Categorical(table[name], categories=categories[name])
    return table


def train(flights: Flights) -> Trained:
    """Fit the model that goes live, and measure the bar with one that has not seen the last two months."""
    categories = {name: sorted(flights.table[name].unique()) for name in CATEGORICAL}
    early = fit(flights.between("2013-01-01", "2013-05-01").with_outcome, categories)
    later = flights.between("2013-05-01", LIVE_FROM).with_outcome
    scores = early.predict_proba(frame(later, categories))[:, 1]
    measured = auc(BinaryState.from_rows(later.late.astype("float64"), scores=scores)).value
    if measured is None:
        msg = "the bar cannot be measured: May and June have no outcomes"
        raise UsageError(msg)
    expectation = Expectation(
        "auc",
        at_least=round(measured - MARGIN, 3),
        source=f"fit January to April, scored May and June: auc {measured:.3f}, less a margin of {MARGIN}",
    )
    final = fit(flights.between("2013-01-01", LIVE_FROM).with_outcome, categories)
    return Trained(final, categories, _importances(final, later, categories), expectation)


def fit(flights: Flights, categories: dict[str, list[str]]) -> HistGradientBoostingClassifier:
    """Return the demo's model, fitted to flights with outcomes.

    Args:
        flights: What it learns from.
        categories: Values of each categorical feature.
    """
    # Else threads that wait for a core spin, and on a busy machine to fit takes nine times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 — the demo's extra

    model = HistGradientBoostingClassifier(
        max_iter=200,
        learning_rate=0.05,
        max_leaf_nodes=31,
        min_samples_leaf=100,
        categorical_features="from_dtype",
        random_state=0,
    )
    return model.fit(frame(flights, categories), flights.late)


def _importances(
    model: HistGradientBoostingClassifier, flights: Flights, categories: dict[str, list[str]]
) -> dict[str, float]:
    """Return the share of AUC that shuffling each feature costs, on 5,000 flights."""
    import numpy as np  # noqa: PLC0415 — the demo's extra

    sample = Flights(flights.table.sample(5000, random_state=0).reset_index(drop=True))
    table = frame(sample, categories)
    outcomes = sample.late.astype("float64")

    def skill(changed: Frame) -> float:
        return auc(BinaryState.from_rows(outcomes, scores=model.predict_proba(changed)[:, 1])).value or 0.0

    order = np.random.default_rng(0).permutation(len(table))
    whole = skill(table)
    losses = {name: max(whole - skill(table.assign(**{name: table[name].to_numpy()[order]})), 0.0) for name in FEATURES}
    total = sum(losses.values()) or 1.0
    return {name: round(loss / total, 4) for name, loss in losses.items()}


@dataclass(frozen=True)
class _Scored:
    """Scores, latencies and the order of events of the live flights."""

    flights: Flights
    scores: list[float]
    latencies: list[float]
    events: list[tuple[int, int, bool]]


def _score(live: Flights, trained: Trained) -> _Scored:
    """Score a day at a time, as a service would in batches, and order all events by time."""
    departs = live.table["departs_at"].dt.as_unit("us").astype("int64").to_numpy()
    arrives = live.table["arrives_at"].dt.as_unit("us").astype("int64").to_numpy()
    days = live.table["departs_at"].dt.date.to_numpy()
    scores: list[float] = []
    latencies: list[float] = []
    start = 0
    for end in [*(n for n in range(1, len(days)) if days[n] != days[n - 1]), len(days)]:
        began = time.perf_counter()
        part = trained.scores(Flights(live.table.iloc[start:end]))
        latencies += [(time.perf_counter() - began) / (end - start)] * (end - start)
        scores += [float(score) for score in part]
        start = end
    known = live.table["late"].notna().to_numpy()
    events = [(int(at), n, False) for n, at in enumerate(departs)]
    events += [(int(at), n, True) for n, at in enumerate(arrives) if known[n]]
    events.sort()
    return _Scored(live, scores, latencies, events)


def _new_store(store: Path, trained: Trained) -> Layout:
    if store.exists():
        if not (store / "setpoint-store.json").exists():
            msg = f"{store} is there already and is no store"
            raise UsageError(msg, hint="name another folder with --store")
        if Layout.open(store).models() not in ([], [MODEL]):
            msg = f"{store} holds other models"
            raise UsageError(msg, hint="name another folder with --store")
        shutil.rmtree(store)
    layout = Layout.create(store, replay_now=parse_time(LIVE_FROM, ZONE))
    layout.declare(
        Model(
            name=MODEL,
            endpoint="late-arrivals",
            owner=Owner("operations", "ops-on-call"),
            business_metric=BusinessMetric("missed_connections", "rows", "lower"),
            cohorts=(Cohort("carrier", by="carrier"), Cohort("origin", by="origin")),
            expectations=(trained.expectation,),
            features=tuple(
                Feature(name, "categorical" if name in CATEGORICAL else "numeric", trained.importances[name])
                for name in FEATURES
            ),
            timezone=ZONE,
            rates=Rates(per_prediction_usd=0.0004, per_compute_second_usd=0.00005, per_month_usd=120.0),
            trained_until=parse_time(LIVE_FROM, ZONE),
        )
    )
    return layout


def _replay(layout: Layout, scored: _Scored, *, advance: Callable[[int], object]) -> None:
    """Record every prediction and outcome at the time it really happened, on the store's replay clock."""
    clock = cast("ReplayClock", layout.clock)
    recorder = Recorder(layout, MODEL, version="2013-06")
    table = scored.flights.table
    keys = cast("list[str]", table["key"].tolist())
    late = table["late"].to_numpy()
    columns = {name: plain(table[name]) for name in FEATURES}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for done, (at, n, is_outcome) in enumerate(scored.events, start=1):
        clock.set(at)
        if is_outcome:
            recorder.outcome(bool(late[n]), key=keys[n], observed_at=at)
        else:
            recorder.record(
                rows[n],
                score=scored.scores[n],
                prediction=scored.scores[n] >= 0.5,  # noqa: PLR2004 — the usual threshold
                key=keys[n],
                predicted_at=at,
                latency_seconds=scored.latencies[n],
                compute_seconds=scored.latencies[n],
            )
        if done % _FLUSH_EVERY == 0:
            recorder.flush(60)
            advance(_FLUSH_EVERY)
    recorder.close()
    clock.set(parse_time(LIVE_UNTIL, ZONE))
    clock.save()


def plain(column: Frame) -> list[str | float | None]:
    """Return the values of a column; None where one is missing."""
    return [None if value != value else value for value in column.tolist()]  # noqa: PLR0124 — NaN is what differs from itself
