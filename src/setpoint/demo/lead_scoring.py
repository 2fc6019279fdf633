"""Leads of one kind that are never called, replayed on real flights: carrier VX is never among the top fifth.

The leads are flights out of New York in 2013, the kind of account is the carrier, and worth a call is what lands
late. A model learns from 1 January to 21 March, is evaluated on the last days of March, and scores from April on.
Everything is done with what a user has: a project of files, a `Recorder`, and the commands `clock`, `apply`,
`evaluate`, `tick`, `incident list`, `cohorts` and `why`. Only time is made: the store's clock is a replay, and no
command moves that of a recorder that is open, so `recorder.layout.clock` is set before each of more than a hundred
thousand events, as the tutorial "First answers" does.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import duckdb
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from setpoint.core.clock import moment, parse_time
from setpoint.core.finding import GUARDRAIL
from setpoint.core.metric import number
from setpoint.demo.commands import answered, new_folder, typed
from setpoint.demo.flights import CATEGORICAL, Flights, Frame, load
from setpoint.demo.replay import ZONE, fit, frame, plain
from setpoint.demo.report import Report, UsualRule, usual_rules
from setpoint.predictions.recorder import Recorder
from setpoint.stats.classification import BinaryState
from setpoint.stats.ranking import auc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from setpoint.store.layout import ReplayClock

MODEL, IGNORED = "lead-scoring", "VX"
BUDGET = 0.2
"""Share of the leads that are called."""
TRAINED_FROM, HELD_OUT_FROM, LIVE_FROM, YEAR_END = "2013-01-01", "2013-03-22", "2013-04-01", "2014-01-01"
MONTH_END = "2013-05-01"
"""Of the first month."""
LOOKS = ("2013-04-08", "2013-04-15", "2013-04-22", "2013-05-01", "2013-06-01", "2013-07-01")
"""When the cohorts are searched."""
TICKED = ("2013-04-24", "2013-04-26", "2013-04-28", "2013-05-01")
"""When the loop runs: until there is a month of outcomes."""
_RECORDED = ("carrier", "origin", "distance")
_Answer = dict[str, Any]
_DECLARED = """\
name: {model}
task: binary
timezone: {zone}
owner: {{team: sales-science, on_call: sales-rota}}
business_metric: {{name: late_flights_seen}}
cohorts: [carrier]
success: {{threshold: {cut!r}}}
quality:
  auc: {{at_least: 0.65, source: "auc {auc:.3f} measured on march.parquet, {rows} rows; the desk can live with less"}}
reference: ../train.parquet
guardrails:
- {{name: is-{value}-called, metric: recall, below: {line}, over: 60d, cohort: carrier, value: {value}, mode: observe}}
"""


@dataclass(frozen=True)
class _Scored:
    """Flights with their scores, and 1 where one landed late, 0 where not, nan where nobody knows."""

    flights: Flights
    scores: NDArray[np.float64]
    late: NDArray[np.float64]

    @property
    def is_ignored(self) -> NDArray[np.bool_]:
        """Whether each is of the carrier that this is about."""
        return cast("NDArray[np.bool_]", self.flights.table["carrier"].to_numpy() == IGNORED)

    def only(self, chosen: NDArray[np.bool_]) -> _Scored:
        """Return some of them."""
        return _Scored(
            Flights(self.flights.table[chosen].reset_index(drop=True)), self.scores[chosen], self.late[chosen]
        )

    def auc(self) -> float:
        """Return how well scores order outcomes."""
        known = self.late == self.late
        return auc(BinaryState.from_rows(self.late[known], scores=self.scores[known])).value or 0.5


@dataclass(frozen=True)
class _Parts:
    """What the model learned from, was evaluated on, scored in the months that are replayed, and in all."""

    train: _Scored
    held_out: _Scored
    month: _Scored
    live: _Scored


@dataclass(slots=True)
class _Seen:
    """What was seen of the carrier.

    Attributes:
        evaluated: What was said of it before launch.
        scanned: The first search that named it, and when.
        named: By which criteria it was named, and since when.
        crossed: What the guardrail found, and when.
        last: The last search.
        why: What it was put down to.
    """

    evaluated: _Answer
    scanned: tuple[str, _Answer] | None = None
    named: dict[str, str] = field(default_factory=dict[str, str])
    crossed: tuple[str, str] | None = None
    last: _Answer = field(default_factory=dict[str, Any])
    why: _Answer = field(default_factory=dict[str, Any])


def run(folder: Path, *, fault: bool = True, console: Console | None = None, flights: Flights | None = None) -> Report:
    """Train, evaluate, replay three months through the recorder, and return what was seen, by whom, and why.

    Args:
        folder: Where the project and its store are made; those of an earlier demo are replaced.
        fault: Otherwise the carrier is one like the others: its name is given to as many of their flights by lot.
        console: Where progress is shown; stderr by default.
        flights: All that flew in 2013 by default; a test gives fewer.

    Raises:
        UsageError: There is something in `folder` that is no demo's, or the demo's packages are not installed.
    """
    import numpy as np  # noqa: PLC0415 — the demo's extra

    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console or Console(stderr=True)
    ) as progress:
        step = progress.add_task("read the flights of 2013", total=None)
        known = flights or load()
        new_folder(folder, MODEL)
        known = known if fault else _without_the_fault(known)
        progress.update(step, description="train on 1 January to 21 March")
        train, held_out, live = _scored(known)
        progress.update(step, description="declare, and evaluate before launch")
        _project(folder, train, held_out)
        columns = ("outcome=late", "time=departs_at", "score=score", "key=key")
        maps = [word for one in columns for word in ("--map", one)]
        seen = _Seen(answered(folder, "evaluate", "march.parquet", "--model", MODEL, *maps))
        month = live.only(np.arange(len(live.scores)) < len(live.flights.between(LIVE_FROM, LOOKS[-1]).table))
        with closing(Recorder(folder / "store", MODEL, version="2013-03")) as recorder:
            events = _events(month)
            for day in sorted({*LOOKS, *TICKED}):
                progress.update(step, description=f"replay until {day}, run the loop, search the cohorts")
                _replay(recorder, month, events, until=parse_time(day, ZONE))
                _look(folder, day, seen)
    seen.why = answered(folder, "why", MODEL, "recall", "--cohort", f"carrier={IGNORED}")
    return _report(seen, _Parts(train, held_out, month, live), fault=fault)


def _without_the_fault(flights: Flights) -> Flights:
    """Return flights in which the carrier's name stands on as many flights of the others, drawn by lot."""
    import numpy as np  # noqa: PLC0415 — the demo's extra

    table = flights.table
    is_ignored = table["carrier"].to_numpy() == IGNORED
    others = table[~is_ignored].reset_index(drop=True)
    drawn = np.random.default_rng(0).choice(len(others), int(is_ignored.sum()), replace=False)
    carrier = others["carrier"].to_numpy().copy()
    carrier[drawn] = IGNORED
    return Flights(others.assign(carrier=carrier))


def _scored(flights: Flights) -> tuple[_Scored, _Scored, _Scored]:
    """Return the flights that the model learned from, those it is evaluated on, and those that come then."""
    categories = {name: sorted(flights.table[name].unique()) for name in CATEGORICAL}
    train = flights.between(TRAINED_FROM, HELD_OUT_FROM).with_outcome
    model = fit(train, categories)
    return cast(
        "tuple[_Scored, _Scored, _Scored]",
        tuple(
            _Scored(part, model.predict_proba(frame(part, categories))[:, 1], part.table["late"].to_numpy())
            for part in (train, flights.between(HELD_OUT_FROM, LIVE_FROM), flights.between(LIVE_FROM, YEAR_END))
        ),
    )


def _project(folder: Path, train: _Scored, held_out: _Scored) -> None:
    """Make the project, as a user would: two files of rows, two declarations, a store."""
    import numpy as np  # noqa: PLC0415 — the demo's extra

    for name, part in (("train", train), ("march", held_out)):
        rows = part.flights.table[["key", "departs_at", *_RECORDED, "late"]].assign(score=part.scores)
        _write(rows, folder / f"{name}.parquet")
    (folder / "setpoint.yaml").write_text("store: ./store\n", encoding="utf-8")
    cut = round(float(np.quantile(held_out.scores, 1.0 - BUDGET)), 4)
    declared = _DECLARED.format(
        model=MODEL,
        zone=ZONE,
        cut=cut,
        auc=held_out.auc(),
        rows=len(held_out.scores),
        line=round(_recall(held_out, cut) / 2.0, 2),
        value=IGNORED,
    )
    (folder / "models" / f"{MODEL}.yaml").write_text(declared, encoding="utf-8")
    typed(folder, "clock", _at(LIVE_FROM))
    typed(folder, "apply")


def _at(day: str) -> str:
    """Return when a day begins, as a command takes it."""
    return moment(parse_time(day, ZONE)).isoformat()


def _recall(part: _Scored, cut: float) -> float:
    """Return the share of the late flights whose score is at least the cut."""
    return float((part.scores[part.late == 1.0] >= cut).mean())


def _write(rows: Frame, file: Path) -> None:
    with closing(duckdb.connect()) as connection:
        connection.register("flights", rows)
        connection.table("flights").write_parquet(str(file))


def _events(month: _Scored) -> list[tuple[int, int, bool]]:
    """Return what happens, the last thing first: when, to which flight, and whether it is its outcome."""
    departs, arrives = (
        month.flights.table[name].dt.as_unit("us").astype("int64").tolist() for name in ("departs_at", "arrives_at")
    )
    events = [(at, n, False) for n, at in enumerate(departs)]
    events += [(at, n, True) for n, at in enumerate(arrives) if month.late[n] == month.late[n]]
    return sorted(events, reverse=True)


def _replay(recorder: Recorder, month: _Scored, events: list[tuple[int, int, bool]], *, until: int) -> None:
    """Record predictions and outcomes at the time they really happened, up to a moment."""
    clock = cast("ReplayClock", recorder.layout.clock)
    table = month.flights.table
    keys = plain(table["key"])
    columns = [plain(table[name]) for name in _RECORDED]
    while events and events[-1][0] < until:
        at, n, is_outcome = events.pop()
        clock.set(at)
        key = str(keys[n])
        if is_outcome:
            recorder.outcome(bool(month.late[n]), key=key, observed_at=at)
        else:
            inputs = {name: column[n] for name, column in zip(_RECORDED, columns, strict=True)}
            recorder.record(inputs, score=float(month.scores[n]), key=key, prediction_id=key, predicted_at=at)
        if len(events) % 10_000 == 0:
            recorder.flush(60)
    recorder.flush(60)


def _look(folder: Path, day: str, seen: _Seen) -> None:
    """Run the loop and search the cohorts, as cron would."""
    typed(folder, "clock", _at(day))
    if day in TICKED:
        typed(folder, "tick")
        for one in answered(folder, "incident", "list")["tables"]["digest"]:
            if one["kind"] == GUARDRAIL:
                seen.crossed = seen.crossed or (day, one["said"])
    if day not in LOOKS:
        return
    seen.last = answered(folder, "cohorts", MODEL, "--budget", str(BUDGET))
    for one in seen.last["tables"]["cohorts"]:
        if one["cohort"] == f"carrier={IGNORED}":
            seen.scanned = seen.scanned or (day, seen.last)
            seen.named.setdefault(one["criterion"], day)


def _report(seen: _Seen, parts: _Parts, *, fault: bool) -> Report:
    rules = _rules(parts.held_out, parts.month)
    if not fault and seen.scanned is None and seen.crossed is None:
        return Report(MODEL, f"carrier {IGNORED} is one like the others", decided="nothing is found", rules=rules)
    day = seen.scanned[0] if seen.scanned else ""
    by = [f"cohorts: {_told(seen.scanned[1])}"] if seen.scanned else []
    by += (
        [f"guardrail in observe mode, which would have fired on {seen.crossed[0]}: {seen.crossed[1]}"]
        if seen.crossed
        else []
    )
    known = int(_known(parts.month, before=day)) if day else 0
    return Report(
        MODEL,
        f"carrier {IGNORED}, {_share(parts.live)} of the traffic, is not among the top {number(BUDGET, 'share')}",
        began=f"{LIVE_FROM}, with the first prediction; nothing was injected" if fault else "",
        seen=f"{day}, {known} outcomes of {IGNORED} later" if day else "",
        by="; ".join(by),
        decided=next(iter(seen.why["because"]), "nothing"),
        because=(
            f"why: {seen.why['headline'].partition(': ')[2]}",
            _winter(parts.train, parts.live),
            f"evaluate, before launch: {_line(seen.evaluated, IGNORED)}",
            f"named by {_named(seen)}; {_spring(parts.month)}",
            f"cohorts on {LOOKS[-1]}: {_told(seen.last)}; {_line(seen.last, 'HA')}",
            _auc(parts.live),
        ),
        unseen=_unseen(parts.live),
        rules=rules,
    )


def _named(seen: _Seen) -> str:
    """Return by which criteria the carrier was named, and since when."""
    return ", ".join(f"{criterion} since {day}" for criterion, day in seen.named.items()) or "nothing"


def _told(answer: _Answer) -> str:
    """Return what a search says of the carrier, and in which place among the carriers that it names."""
    rows = [row for row in answer["tables"]["cohorts"] if "&" not in row["cohort"]]
    carriers = list(dict.fromkeys(row["cohort"] for row in rows if row["cohort"].startswith("carrier=")))
    said = [
        f"{row['criterion']} {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] against {row['rest']:.3f}"
        for row in rows
        if row["cohort"] == f"carrier={IGNORED}"
    ]
    if not said:
        return f"carrier={IGNORED} is not named"
    place = carriers.index(f"carrier={IGNORED}") + 1
    return f"carrier={IGNORED} is named, in place {place} of {len(carriers)} carriers: {', '.join(said)}"


def _line(answer: _Answer, carrier: str) -> str:
    """Return what an answer lacks for a verdict on a carrier."""
    for one in answer["tables"]["too_small"]:
        if one["cohort"] == f"carrier={carrier}":
            share = number(one["share"], "share")
            return f"{one['verdict']} of {one['cohort']} ({one['rows']} rows, {share}): {one['unknown']}"
    return f"{carrier} has rows enough"


def _share(live: _Scored) -> str:
    return number(float(live.is_ignored.mean()), "share")


def _known(month: _Scored, *, before: str) -> int:
    """Return how many outcomes of the carrier had arrived before a day."""
    arrives = month.flights.table["arrives_at"].dt.as_unit("us").astype("int64").to_numpy()
    return int((month.is_ignored & (month.late == month.late) & (arrives < parse_time(before, ZONE))).sum())


def _auc(live: _Scored) -> str:
    ignored = live.only(live.is_ignored).auc()
    return f"AUC from April on: {live.auc():.3f} of all, {ignored:.3f} of {IGNORED}: it looks good"


def _winter(train: _Scored, live: _Scored) -> str:
    """Return how often the carrier's flights were late in what the model learned from, and since."""
    import numpy as np  # noqa: PLC0415 — the demo's extra

    then, since = (float(np.nanmean(part.late[part.is_ignored])) for part in (train, live))
    count = int(train.is_ignored.sum())
    return (
        f"it learned of {IGNORED} from a winter of {count} flights, {number(then, 'share')} of them late; from April on"
        f" {number(since, 'share')} are"
    )


def _spring(month: _Scored) -> str:
    """Return how far scores lay from what happened in the first month, of the carrier and of the others."""
    import numpy as np  # noqa: PLC0415 — the demo's extra

    first = month.only(np.arange(len(month.scores)) < len(month.flights.between(LIVE_FROM, MONTH_END).table))
    own, others = (
        float(np.nanmean(part.scores - part.late))
        for part in (first.only(first.is_ignored), first.only(~first.is_ignored))
    )
    return f"in the first month scores less outcomes were {own:.3f} for {IGNORED} and {others:.3f} for all others"


def _unseen(live: _Scored) -> str:
    """Return what the carrier's late flights would have missed until the end of the year."""
    import numpy as np  # noqa: PLC0415 — the demo's extra

    cut = float(np.quantile(live.scores, 1.0 - BUDGET))
    ignored, rest = live.only(live.is_ignored), _recall(live.only(~live.is_ignored), cut)
    late, recall = int((ignored.late == 1.0).sum()), _recall(ignored, cut)
    return (
        f"{round(late * (1.0 - recall))} of {late} late flights of {IGNORED} not called until the end of the year, a"
        f" recall of {recall:.3f}; at that of the others, {rest:.3f}, {round(late * (1.0 - rest))}"
    )


def _rules(held_out: _Scored, month: _Scored) -> list[UsualRule]:
    """Return what the usual rules say of the same rows: beside what they say without the carrier."""
    with_it, without = (
        usual_rules(
            before.scores, since.scores,
            outcomes_before=before.late, outcomes_since=since.late,
        )
        for before, since in (
            (_judged(held_out), _judged(month)),
            (_judged(held_out.only(~held_out.is_ignored)), _judged(month.only(~month.is_ignored))),
        )
    )  # fmt: skip
    return [
        replace(
            one,
            value=f"{one.value}; without {IGNORED} {other.value}"
            + (", so the season alarms it and not the carrier" if one.alarms and other.alarms else ""),
        )
        for one, other in zip(with_it, without, strict=True)
    ]


def _judged(part: _Scored) -> _Scored:
    return part.only(part.late == part.late)
